"""Why a file is refused: in words of its own, and as damaged only where it is."""

import io
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import Image

from hfmoe.image.decoders import refusal
from hfmoe.image.files import ImageError, read_picture
from hfmoe.image.streaming import Strips


def ramp(height: int = 40, width: int = 64) -> np.ndarray:
    across = np.linspace(20, 230, width)[None, :, None]
    down = np.linspace(0, 25, height)[:, None, None]
    return (
        np.concatenate((across + down, across - down / 2, 255 - across + 0 * down), 2)
        .round()
        .astype(np.uint8)
    )


def cut(path: Path, kind: str, share: float = 0.6) -> Path:
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(stream, kind)
    data = stream.getvalue()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def test_a_reason_of_another_file_or_format_is_not_taken(tmp_path: Path):
    text = f"unable to write to memory\n{tmp_path}/b.avif: bad seek to 1\nheif: Security limit exceeded\n"
    error = pyvips.Error("x", text + "vipspng: libpng read error\n")
    assert refusal(tmp_path / "a.png", error, "png") == "damaged or cut off (vipspng: libpng read error)"
    assert refusal(tmp_path / "a.png", pyvips.Error("x", text), "png") == "damaged or cut off"


def test_files_that_fail_at_once_keep_reasons_of_their_own(tmp_path: Path):
    paths = [cut(tmp_path / f"{kind}.bin", kind) for kind in ("PNG", "JPEG", "WEBP", "TIFF")] * 6
    said: list[str] = []

    def read(path: Path) -> None:
        try:
            read_picture(path)
        except ImageError as error:
            said.append(str(error))

    threads = [Thread(target=read, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(said) == len(paths)
    for path in paths:
        others = [each.name for each in paths if each != path]
        assert not any(other in line for line in said if f"{path}:" in line for other in others)


def test_a_codec_that_is_missing_is_named_and_the_file_not_called_damaged(tmp_path: Path):
    tifffile.imwrite(tmp_path / "lzma.tif", ramp(), photometric="rgb", compression="lzma")
    with pytest.raises(ImageError, match=r"lzma\.tif: TIFF with LZMA, for which libvips has no decoder"):
        read_picture(tmp_path / "lzma.tif")
    planes = np.moveaxis(ramp(128, 128), -1, 0).copy()
    tifffile.imwrite(
        tmp_path / "planar.tif", planes, photometric="rgb", planarconfig="separate", tile=(64, 64)
    )
    with pytest.raises(ImageError, match=r"planar\.tif: TIFF in tiles with separate planes is not supported"):
        read_picture(tmp_path / "planar.tif")


def heic(path: Path, **options: Any) -> Path:
    """A photo as phones save it, HEVC in HEIC."""
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.from_pillow(Image.fromarray(ramp())).save(path, quality=100, chroma=444, **options)
    return path


def test_a_photo_of_a_phone_is_read_with_turn_profile_and_exif(tmp_path: Path):
    exif = Image.Exif()
    exif[0x112], exif[0x10F] = 6, "Maker"
    profile: Any = pyvips.Operation.call("profile_load", "p3")
    path = heic(tmp_path / "a.heic", exif=exif.tobytes(), icc_profile=bytes(profile))
    picture = read_picture(path)
    upright = np.rot90(ramp(), -1)
    assert np.abs((picture.colour.permute(1, 2, 0) * 255).numpy() - upright).mean() < 3
    assert picture.icc == bytes(profile)
    assert picture.metadata.exif is not None
    assert b"Maker" in picture.metadata.exif
    strips = Strips(path, scratch=tmp_path / "scratch")
    assert np.array_equal(
        (strips.rows(strips.height) / 255).astype(np.float32), picture.colour.permute(1, 2, 0)
    )


def test_ten_bits_of_a_heic_are_kept(tmp_path: Path):
    pillow_heif = pytest.importorskip("pillow_heif")
    levels = np.repeat(np.linspace(0, 65535, 256).astype(np.uint16)[None, :, None], 32, 0).repeat(3, 2)
    image = pillow_heif.from_bytes(mode="RGB;16", size=(256, 32), data=levels.tobytes())
    image.save(tmp_path / "a.heic", quality=100, chroma=444)
    picture = read_picture(tmp_path / "a.heic")
    assert picture.bits == 16
    assert np.abs(picture.colour.permute(1, 2, 0).numpy() - levels / 65535).max() < 4 / 1023


def test_without_its_decoder_a_heic_is_no_damaged_file(tmp_path: Path, monkeypatch):
    path = heic(tmp_path / "a.heic")
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    with pytest.raises(ImageError, match=r"a\.heic: HEIC \(HEVC\) needs a decoder.*hf-moe-ir\[heic\]"):
        read_picture(path)


def test_a_heic_that_is_cut_off_is_a_damaged_file(tmp_path: Path):
    path = heic(tmp_path / "a.heic")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ImageError, match=r"a\.heic: "):
        read_picture(path)


def test_a_sound_file_with_a_property_that_is_not_supported_is_not_called_damaged(tmp_path: Path):
    image: Any = pyvips.Image.new_from_array(ramp()).copy(interpretation="srgb")
    image.set_type(pyvips.GValue.gint_type, "orientation", 6)
    content = image.write_to_buffer(".avif", effort=0).replace(b"irot", b"ipot")
    (tmp_path / "a.avif").write_bytes(content)
    with pytest.raises(ImageError, match="does not support; convert it first"):
        read_picture(tmp_path / "a.avif")
