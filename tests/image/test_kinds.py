"""Every kind of file goes through every format that can hold it, and back, sample by sample."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
import tifffile
import torch
from PIL import Image, ImageCms

from hfmoe.image import writing
from hfmoe.image.files import (
    Bits,
    ImageError,
    Picture,
    check_writable,
    read_8bit,
    read_picture,
    write_picture,
)

HEIGHT, WIDTH = 21, 34


def picture(*, channels: int, alpha: bool, bits: Bits, icc: bytes | None = None) -> Picture:
    generator = torch.Generator().manual_seed(channels + bits)

    def plane(count: int) -> torch.Tensor:
        if bits == 32:
            return torch.rand(count, HEIGHT, WIDTH, generator=generator)
        top = 2**bits - 1
        return torch.randint(0, top + 1, (count, HEIGHT, WIDTH), generator=generator).float() / top

    return Picture(plane(channels), plane(1) if alpha else None, bits, icc)


def noise(*shape: int, dtype: Any = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)


@pytest.mark.parametrize("alpha", [False, True], ids=["opaque", "alpha"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bits", [8, 16, 32])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".avif"])
def test_every_kind_survives_lossless_formats_to_the_depth_they_hold(
    tmp_path: Path, suffix: str, bits: Bits, channels: int, alpha: bool
):
    before = picture(channels=channels, alpha=alpha, bits=bits)
    write_picture(tmp_path / f"a{suffix}", before, quality=100)
    after = read_picture(tmp_path / f"a{suffix}")
    held = {".png": 16, ".tif": 32, ".webp": 8, ".avif": 12}[suffix]
    kept = min(bits, held)
    assert after.bits == (16 if kept == 12 else kept)
    half_a_level = 1e-9 if kept == 32 else 0.501 / (2**kept - 1)
    assert (after.colour - before.colour).abs().max() <= half_a_level
    assert (after.alpha is None) == (not alpha)
    if after.alpha is not None and before.alpha is not None:
        assert (after.alpha - before.alpha).abs().max() <= half_a_level


def test_floats_outside_the_unit_interval_survive_a_tiff_exactly(tmp_path: Path):
    colour = torch.rand(3, 9, 8)
    colour[:, :2] = torch.tensor([7.25, -0.5]).view(1, 2, 1)
    write_picture(tmp_path / "a.tif", Picture(colour, bits=32))
    after = read_picture(tmp_path / "a.tif")
    assert after.bits == 32
    assert torch.equal(after.colour, colour)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.avif"])
def test_floats_outside_the_unit_interval_are_not_clamped_in_silence(tmp_path: Path, name: str):
    bright = Picture(torch.full((3, 4, 4), 1.5), bits=32)
    with pytest.raises(ImageError, match=r"holds no values outside \[0, 1\].*use TIFF"):
        write_picture(tmp_path / name, bright)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_float_file_with_values_that_are_not_finite_is_refused_by_name(tmp_path: Path, value: float):
    samples = np.full((5, 6, 3), 0.5, np.float32)
    samples[2, 3, 1] = value
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric="rgb")
    with pytest.raises(ImageError, match=r"a\.tif: holds values that are not finite"):
        read_picture(tmp_path / "a.tif")


def test_half_floats_are_read_and_doubles_refused_by_name(tmp_path: Path):
    samples = np.linspace(0, 1, 60, dtype=np.float64).reshape(4, 5, 3)
    tifffile.imwrite(tmp_path / "half.tif", samples.astype(np.float16), photometric="rgb")
    half = read_picture(tmp_path / "half.tif").colour.permute(1, 2, 0).numpy()
    assert np.array_equal(half, samples.astype(np.float16).astype(np.float32))
    tifffile.imwrite(tmp_path / "double.tif", samples, photometric="rgb")
    with pytest.raises(ImageError, match=r"double\.tif: samples of 64 bits"):
        read_picture(tmp_path / "double.tif")


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palettes_of_every_depth_are_read_as_their_colours(tmp_path: Path, bits: int):
    indices = noise(HEIGHT, WIDTH) >> (8 - bits)
    palette = noise(2**bits, 3)
    image = Image.fromarray(indices, mode="P")
    image.putpalette(palette.tobytes())
    image.save(tmp_path / "a.png", bits=bits)
    assert np.array_equal(read_8bit(tmp_path / "a.png").permute(1, 2, 0).numpy(), palette[indices])


def test_a_transparent_colour_of_a_palette_becomes_alpha(tmp_path: Path):
    image = Image.fromarray(noise(HEIGHT, WIDTH) % 4, mode="P")
    image.putpalette(noise(4, 3).tobytes())
    image.save(tmp_path / "a.png", transparency=2)
    after = read_picture(tmp_path / "a.png")
    assert after.alpha is not None
    assert np.array_equal(after.alpha[0].numpy() == 0, np.asarray(image) == 2)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_gray_of_few_bits_spans_black_to_white(tmp_path: Path, bits: int):
    levels = noise(HEIGHT, 32) >> (8 - bits)
    (tmp_path / "a.png").write_bytes(gray_png(levels, bits=bits))
    after = read_picture(tmp_path / "a.png").colour
    torch.testing.assert_close(after[0] * (2**bits - 1), torch.from_numpy(levels).float())


def gray_png(levels: np.ndarray, *, bits: int) -> bytes:
    """A PNG of few bits, several samples a byte; the width must fill its last byte."""
    height, width = levels.shape
    shifts = np.arange(8 - bits, -1, -bits)
    packed = (levels.reshape(height, -1, 8 // bits) << shifts).sum(-1).astype(np.uint8)
    rows = np.concatenate([np.zeros((height, 1), np.uint8), packed], axis=1)

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows.tobytes())) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_cmyk_without_a_profile_becomes_rgb_the_right_way_round(tmp_path: Path, suffix: str):
    Image.new("CMYK", (16, 16), (0, 200, 220, 20)).save(tmp_path / f"red{suffix}")
    Image.new("CMYK", (16, 16), (0, 0, 0, 0)).save(tmp_path / f"white{suffix}")
    red, white = (read_picture(tmp_path / f"{name}{suffix}") for name in ("red", "white"))
    assert red.icc is None
    r, g, b = red.colour.mean((1, 2))
    assert r > 0.6
    assert max(g, b) < 0.35
    assert white.colour.min() > 0.98


def test_cmyk_with_a_damaged_profile_is_converted_without_it(tmp_path: Path, caplog):
    Image.new("CMYK", (16, 16), (0, 0, 0, 0)).save(tmp_path / "a.jpg", icc_profile=b"none")
    assert read_picture(tmp_path / "a.jpg").colour.min() > 0.98
    assert "its ICC profile is damaged" in caplog.text


@pytest.mark.parametrize("kind", [8, 9], ids=["cielab", "icclab"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("alpha", [False, True])
def test_lab_becomes_the_rgb_of_a_colour_management_system(tmp_path: Path, kind: int, bits: int, alpha: bool):
    parts = np.meshgrid(np.arange(40, 221, 20), np.arange(-32, 33, 8), np.arange(-32, 33, 8))
    lab = np.stack(parts, -1).reshape(9, -1, 3)
    signed = np.where(lab < 0, lab + 256, lab).astype(np.uint8)
    spaces = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    image = Image.frombytes("LAB", (lab.shape[1], lab.shape[0]), signed.tobytes())
    reference: Any = ImageCms.profileToProfile(image, *spaces, renderingIntent=intent, outputMode="RGB")
    stored = lab + np.array([0, 128, 128]) if kind == 9 else lab
    unit = 1 if bits == 8 else np.array([256 if kind == 9 else 257, 256, 256])
    levels = (stored * unit % 2**bits).astype(f"u{bits // 8}")
    if alpha:
        levels = np.concatenate((levels, np.full_like(levels[..., :1], 2**bits - 1)), -1)
    extra: dict[str, Any] = {"extrasamples": ["unassalpha"]} if alpha else {}
    tifffile.imwrite(tmp_path / "a.tif", levels, photometric=kind, planarconfig="contig", **extra)
    picture = read_picture(tmp_path / "a.tif")
    off = np.abs(picture.colour.numpy().transpose(1, 2, 0) * 255 - np.asarray(reference))
    assert off.max() < 10 and off.mean() < 0.5
    assert (picture.bits, picture.icc) == (bits, None)
    assert (picture.alpha is not None) == alpha and (picture.alpha is None or picture.alpha.min() == 1)


def test_a_gray_profile_is_applied_where_a_format_holds_no_gray(tmp_path: Path):
    """GIMP's and Photoshop's gray profiles have other curves than sRGB: dropping one changes every tone."""
    stored = pyvips.Image.new_from_buffer(
        pyvips.Image.black(2, 2).copy(interpretation="b-w").pngsave_buffer(profile=gray_profile(tmp_path)), ""
    )
    profile: Any = stored.get("icc-profile-data")
    gray = Picture(torch.full((1, 8, 8), 0.5), icc=bytes(profile))
    write_picture(tmp_path / "a.png", gray)
    assert read_picture(tmp_path / "a.png").icc == bytes(profile)
    for suffix in (".webp", ".avif"):
        write_picture(tmp_path / f"a{suffix}", gray, quality=100)
        after = read_picture(tmp_path / f"a{suffix}")
        assert (after.colour - 0.735).abs().max() < 0.02


def gray_profile(folder: Path) -> str:
    """A profile of gray in linear light: half of white is 0.735 in sRGB."""
    white = bytes.fromhex("0000f6d6000100000000d32d")
    curve = b"curv" + bytes(8)
    point = b"XYZ " + bytes(4) + white
    text = b"desc" + bytes(4) + (2).to_bytes(4, "big") + b"g\0" + bytes(78)
    text += bytes(-len(text) % 4)
    parts = {b"desc": text, b"wtpt": point, b"kTRC": curve}
    place, table, body = 128 + 4 + 12 * len(parts), b"", b""
    for name, part in parts.items():
        table += name + (place + len(body)).to_bytes(4, "big") + len(part).to_bytes(4, "big")
        body += part
    head = (place + len(body)).to_bytes(4, "big") + bytes(4) + bytes.fromhex("02100000") + b"mntrGRAYXYZ "
    head += bytes(12) + b"acsp" + bytes(28) + white
    whole = head.ljust(128, b"\0") + len(parts).to_bytes(4, "big") + table + body
    (folder / "gray.icc").write_bytes(whole)
    ImageCms.getOpenProfile(str(folder / "gray.icc"))
    return str(folder / "gray.icc")


def test_associated_alpha_is_read_as_straight_colours(tmp_path: Path):
    colour = noise(8, 8, 4)
    colour[..., 3] = 128
    pyvips.Image.new_from_array(colour).copy(interpretation="srgb").tiffsave(
        str(tmp_path / "a.tif"), premultiply=True
    )
    after = read_picture(tmp_path / "a.tif")
    assert (after.colour.permute(1, 2, 0) * 255 - torch.from_numpy(colour[..., :3])).abs().max() <= 2


@pytest.mark.parametrize("options", [{"tile": True}, {"tile": True, "pyramid": True}, {"compression": "lzw"}])
def test_tiled_and_pyramid_tiffs_are_read_at_full_size(tmp_path: Path, options: dict[str, Any]):
    array = noise(600, 500, 3)
    image = pyvips.Image.new_from_array(array).copy(interpretation="srgb")
    for subifd in (False, True):
        image.tiffsave(str(tmp_path / "a.tif"), subifd=subifd, **options)
        assert np.array_equal(read_8bit(tmp_path / "a.tif").permute(1, 2, 0).numpy(), array)


def frames() -> list[Image.Image]:
    return [Image.fromarray(frame) for frame in noise(3, HEIGHT, WIDTH, 3)]


@pytest.mark.parametrize(
    ("name", "kind", "rule"),
    [
        ("a.png", "PNG", "animated, of 3 frames"),
        ("a.webp", "WEBP", "animated or of 3 pages"),
        ("a.tif", "TIFF", "of 3 pages"),
        ("a.avif", "AVIF", "animated"),
        ("a.gif", "GIF", "a GIF file"),
    ],
)
def test_animations_and_pages_are_refused_and_never_cut_to_the_first(
    tmp_path: Path, name: str, kind: str, rule: str
):
    first, *rest = frames()
    first.save(tmp_path / name, format=kind, save_all=True, append_images=rest)
    with pytest.raises(ImageError, match=rf"{name}: {rule}"):
        read_picture(tmp_path / name)


def test_a_thumbnail_before_the_photo_is_not_taken_for_it(tmp_path: Path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(noise(8, 8, 3), subfiletype=1, photometric="rgb")
        file.write(noise(80, 80, 3), photometric="rgb")
    with pytest.raises(ImageError, match=r"a\.tif: of 2 pages"):
        read_picture(tmp_path / "a.tif")
    with tifffile.TiffWriter(tmp_path / "b.tif") as file:
        file.write(noise(80, 80, 3), photometric="rgb")
        file.write(noise(8, 8, 3), subfiletype=1, photometric="rgb")
    assert np.array_equal(read_8bit(tmp_path / "b.tif").permute(1, 2, 0).numpy(), noise(80, 80, 3))


def test_a_large_tiff_gets_offsets_of_64_bits(tmp_path: Path, monkeypatch):
    before = picture(channels=3, alpha=True, bits=16)
    write_picture(tmp_path / "small.tif", before)
    assert (tmp_path / "small.tif").read_bytes()[:4] == b"II*\0"
    monkeypatch.setattr(writing, "CLASSIC_TIFF", 1000)
    write_picture(tmp_path / "large.tif", before)
    assert (tmp_path / "large.tif").read_bytes()[:4] == b"II+\0"
    assert torch.equal(
        read_picture(tmp_path / "large.tif").colour, read_picture(tmp_path / "small.tif").colour
    )


@pytest.mark.parametrize(("name", "side"), [("a.webp", 16384), ("a.jpg", 65501), ("a.avif", 16385)])
def test_sides_that_a_format_cannot_hold_are_refused_before_the_work(name: str, side: int):
    small = Picture(torch.zeros(3, 1, 1))
    check_writable(name, small, height=side - 1, width=1)
    with pytest.raises(ImageError, match=f"1 x {side} pixels"):
        check_writable(name, small, height=side, width=1)


def test_a_phones_photo_of_two_pictures_in_one_jpeg_gives_the_first_which_is_the_photo(tmp_path: Path):
    first, *rest = frames()
    first.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=rest, quality=100)
    first.save(tmp_path / "b.jpg", quality=100)
    assert torch.equal(read_8bit(tmp_path / "a.jpg"), read_8bit(tmp_path / "b.jpg"))
