"""EXIF, XMP, profile and resolution: kept, made true, and dropped on request."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
import tifffile
import torch
from PIL import Image

from hfmoe.image.files import (
    IMAGE_SUFFIXES,
    ImageError,
    Metadata,
    Picture,
    read_picture,
    strip,
    write_picture,
)
from hfmoe.image.metadata import exif_into_tiff, exif_of_tiff, upright_xmp

MAKE, MODEL, ORIENTATION, EXIF, GPS, WIDTH, HEIGHT, TAKEN, EXPOSURE = (
    *(0x10F, 0x110, 0x112, 0x8769, 0x8825),
    *(0xA002, 0xA003, 0x9003, 0x829A),
)
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:D tiff:Orientation="6" dc:title="hill"/></x:xmpmeta>'


def camera_exif() -> Image.Exif:
    exif = Image.Exif()
    exif[MAKE], exif[MODEL], exif[ORIENTATION] = "Maker", "Model 7 with a long name", 6
    below = exif.get_ifd(EXIF)
    below[TAKEN], below[EXPOSURE], below[WIDTH], below[HEIGHT] = "2020:02:29 12:00:00", 0.01, 40, 30
    exif.get_ifd(GPS).update({1: "N", 2: (48.0, 10.0, 3.0)})
    return exif


def pixels(height: int = 30, width: int = 40) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)


def photo(folder: Path, suffix: str) -> Path:
    """A photo as a camera writes it, lying on its side."""
    path = folder / f"camera{suffix}"
    exif = camera_exif()
    options: dict[str, Any] = {"tiffinfo": {ORIENTATION: 6}} if suffix == ".tif" else {"exif": exif.tobytes()}
    if suffix in (".jpg", ".webp", ".avif"):
        options["xmp"] = XMP
    Image.fromarray(pixels()).save(path, dpi=(300, 300), **options)
    if suffix == ".tif":
        exif_into_tiff(path, Metadata(exif=exif.tobytes()), width=40, height=30)
    return path


def exif_of(path: Path) -> tuple[dict, dict, dict]:
    with Image.open(path) as image:
        exif = image.getexif()
        return dict(exif), dict(exif.get_ifd(EXIF)), dict(exif.get_ifd(GPS))


@pytest.mark.parametrize("target", [".png", ".jpg", ".webp", ".tif", ".avif"])
@pytest.mark.parametrize("source", [".png", ".jpg", ".webp", ".tif", ".avif"])
def test_exif_goes_from_every_format_to_every_other_and_is_true(tmp_path: Path, source: str, target: str):
    picture = read_picture(photo(tmp_path, source))
    assert picture.colour.shape == (3, 40, 30)
    write_picture(tmp_path / f"out{target}", picture)
    first, below, place = exif_of(tmp_path / f"out{target}")
    assert (first[MAKE], first[MODEL]) == ("Maker", "Model 7 with a long name")
    assert first.get(ORIENTATION, 1) == 1
    assert below[TAKEN] == "2020:02:29 12:00:00"
    assert below[EXPOSURE] == pytest.approx(0.01)
    assert (below[WIDTH], below[HEIGHT]) == (30, 40)
    assert (place[1], place[2]) == ("N", (48.0, 10.0, 3.0))
    assert read_picture(tmp_path / f"out{target}").colour.shape == (3, 40, 30)


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_xmp_is_kept_and_no_longer_says_that_the_photo_lies(tmp_path: Path, suffix: str):
    picture = read_picture(photo(tmp_path, ".jpg"))
    assert picture.metadata.xmp == XMP
    write_picture(tmp_path / f"out{suffix}", picture)
    xmp = read_picture(tmp_path / f"out{suffix}").metadata.xmp
    assert xmp is not None
    assert xmp.rstrip(b"\0") == XMP.replace(b'Orientation="6"', b'Orientation="1"')


def test_orientation_in_xmp_is_upright_whether_attribute_or_element():
    assert upright_xmp(b"<tiff:Orientation>8</tiff:Orientation>") == b"<tiff:Orientation>1</tiff:Orientation>"
    assert upright_xmp(b"tiff:Orientation='3'") == b"tiff:Orientation='1'"
    assert upright_xmp(b'tiff:XResolution="6"') == b'tiff:XResolution="6"'
    assert upright_xmp(None) is None


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_resolution_is_kept(tmp_path: Path, suffix: str):
    write_picture(tmp_path / f"out{suffix}", read_picture(photo(tmp_path, ".jpg")))
    with Image.open(tmp_path / f"out{suffix}") as image:
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.5)


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_a_stripped_picture_says_nothing_but_its_profile(tmp_path: Path, suffix: str):
    picture = read_picture(photo(tmp_path, ".jpg"))
    stored = pyvips.Image.new_from_buffer(
        pyvips.Image.black(2, 2, bands=3).copy(interpretation="srgb").pngsave_buffer(profile="p3"), ""
    )
    profile: Any = stored.get("icc-profile-data")
    picture = Picture(picture.colour, icc=bytes(profile), metadata=picture.metadata)
    write_picture(tmp_path / f"out{suffix}", strip(picture))
    content = (tmp_path / f"out{suffix}").read_bytes()
    assert all(secret not in content for secret in (b"Maker", b"Model 7", b"2020:02:29", b"hill"))
    assert read_picture(tmp_path / f"out{suffix}").icc == bytes(profile)


def test_the_thumbnail_is_dropped_for_it_shows_another_picture(tmp_path: Path):
    small = tmp_path / "small.jpg"
    Image.fromarray(pixels(8, 8)).save(small)
    exif = camera_exif()
    block = exif.tobytes()
    body = bytearray(block[6:])
    first = int.from_bytes(body[4:8], "little")
    end = first + 2 + 12 * int.from_bytes(body[first : first + 2], "little")
    body[end : end + 4] = len(body).to_bytes(4, "little")
    thumbnail, at = small.read_bytes(), len(body) + 2 + 24 + 4
    entries = ((0x201, at), (0x202, len(thumbnail)))
    body += (2).to_bytes(2, "little")
    for tag, value in entries:
        body += tag.to_bytes(2, "little") + b"\4\0\1\0\0\0" + value.to_bytes(4, "little")
    body += bytes(4) + thumbnail
    Image.fromarray(pixels()).save(tmp_path / "camera.jpg", exif=b"Exif\0\0" + bytes(body))
    assert thumbnail in (tmp_path / "camera.jpg").read_bytes()
    picture = read_picture(tmp_path / "camera.jpg")
    for suffix in (".jpg", ".png", ".tif", ".webp", ".avif"):
        write_picture(tmp_path / f"out{suffix}", picture)
        assert thumbnail not in (tmp_path / f"out{suffix}").read_bytes()
        assert exif_of(tmp_path / f"out{suffix}")[0][MAKE] == "Maker"


@pytest.mark.parametrize("value", range(1, 9))
def test_each_of_the_eight_orientations_is_applied(tmp_path: Path, value: int):
    upright = pixels()
    undo = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: np.rot90(a, -1),
    }
    exif = Image.Exif()
    exif[ORIENTATION] = value
    Image.fromarray(np.ascontiguousarray(undo[value](upright))).save(tmp_path / "a.png", exif=exif.tobytes())
    colour = read_picture(tmp_path / "a.png").colour
    assert torch.equal((colour * 255).round().to(torch.uint8), torch.from_numpy(upright).permute(2, 0, 1))


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_exif_is_added_to_and_read_from_tiff_of_every_layout(tmp_path: Path, bigtiff: bool, byteorder: Any):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels(), photometric="rgb", bigtiff=bigtiff, byteorder=byteorder)
    exif_into_tiff(path, Metadata(exif=camera_exif().tobytes()), width=40, height=30)
    with path.open("rb") as file:
        block = exif_of_tiff(file)
    assert block is not None
    back = Image.Exif()
    back.load(block)
    assert (back[MAKE], back[MODEL]) == ("Maker", "Model 7 with a long name")
    assert back.get_ifd(EXIF)[TAKEN] == "2020:02:29 12:00:00"
    assert back.get_ifd(EXIF)[EXPOSURE] == pytest.approx(0.01)
    assert back.get_ifd(GPS)[2] == (48.0, 10.0, 3.0)
    assert np.array_equal(tifffile.imread(path), pixels())
    assert read_picture(path).metadata.exif == block


@pytest.mark.parametrize(
    "exif", [b"", b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\x7f", b"Exif\0\0" + b"\xff" * 99]
)
@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_exif_that_cannot_be_read_stops_no_write(tmp_path: Path, suffix: str, exif: bytes):
    picture = Picture(torch.rand(3, 9, 9), metadata=Metadata(exif=exif, xmp=b"\0\xff<"))
    write_picture(tmp_path / f"a{suffix}", picture)
    assert read_picture(tmp_path / f"a{suffix}").colour.shape == (3, 9, 9)


def icc(space: bytes = b"RGB ", size: int = 128) -> bytes:
    return (128).to_bytes(4, "big") + bytes(12) + space + bytes(16) + b"acsp" + bytes(size - 40)


@pytest.mark.parametrize(
    ("profile", "fault"),
    [(b"no profile", "damaged"), (icc(b"GRAY"), "for b'GRAY'"), (icc()[:100], "damaged")],
)
def test_a_profile_of_no_use_is_left_out_and_logged(tmp_path: Path, caplog, profile: bytes, fault: str):
    Image.fromarray(pixels()).save(tmp_path / "a.jpg", icc_profile=profile)
    assert read_picture(tmp_path / "a.jpg").icc is None
    assert f"a.jpg: its ICC profile is {fault}" in caplog.text


def test_a_profile_of_no_use_is_not_written(tmp_path: Path):
    with pytest.raises(ImageError, match=r"a\.png: the ICC profile is damaged"):
        write_picture(tmp_path / "a.png", Picture(torch.rand(3, 4, 4), icc=b"no profile"))
    assert list(tmp_path.iterdir()) == []
