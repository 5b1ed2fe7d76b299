"""JPEG XL: pixels, profile and EXIF of the file, the colour space that its header states, and refusals."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import hfmoe.image.colour_space as colour_space
from hfmoe.image.files import ImageError, read_facts, read_picture

pylibjxl = pytest.importorskip("pylibjxl")
P3 = colour_space.space_of_codes(12, 13)
LOSSLESS_HEADER = 13
"""Bits of the header behind the size in a lossless file of 8 bits in RGB without a profile."""


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape or (64, 64, 3)).astype("u1")


def levels(path: Path) -> np.ndarray:
    picture = read_picture(path)
    bands = [picture.colour] if picture.alpha is None else [picture.colour, picture.alpha]
    return np.concatenate([np.round(part.numpy() * 255) for part in bands]).transpose(1, 2, 0).astype("u1")


def number(value: int, bits: int) -> list[int]:
    return [value >> place & 1 for place in range(bits)]


def code(value: int) -> list[int]:
    return number(value, 2) if value < 2 else [*number(2, 2), *number(value - 2, 4)]


def with_header(rest: list[int]) -> bytes:
    """A file of 64 x 64 whose header behind its size is replaced."""
    file = pylibjxl.encode(pixels(), lossless=True, distance=0.0)
    bits = [byte >> place & 1 for byte in file[2:4] for place in range(8)][:9] + rest
    bits += [0] * (-len(bits) % 8)
    bytes_of = (bits[start : start + 8] for start in range(0, len(bits), 8))
    head = bytes(sum(bit << place for place, bit in enumerate(byte)) for byte in bytes_of)
    return file[:2] + head + file[2 - (-(9 + LOSSLESS_HEADER) // 8) :]


def encoding(*parts: list[int], profile: int = 0) -> list[int]:
    """The header of a file that states its colours."""
    return [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, profile, *(bit for part in parts for bit in part), 0, 0, 1]


@pytest.mark.parametrize("shape", [(12, 17), (12, 17, 3), (12, 17, 4)])
def test_lossless_pixels_are_those_of_the_file(tmp_path: Path, shape: tuple[int, ...]):
    given = pixels(*shape)
    (tmp_path / "a.jxl").write_bytes(pylibjxl.encode(given, lossless=True, distance=0.0))
    assert np.array_equal(levels(tmp_path / "a.jxl").squeeze(), given)
    facts = read_facts(tmp_path / "a.jxl")
    assert (facts.height, facts.width, facts.format) == (12, 17, "jxl")


def test_a_jpeg_within_lies_upright_and_keeps_its_profile_and_exif(tmp_path: Path):
    exif = Image.Exif()
    exif[0x112], exif[0x110] = 6, "a camera"
    jpeg, profile = io.BytesIO(), colour_space.make_profile(P3, colours=3)
    Image.fromarray(pixels(16, 24, 3)).save(jpeg, "JPEG", exif=exif, icc_profile=profile)
    (tmp_path / "a.jpg").write_bytes(jpeg.getvalue())
    (tmp_path / "a.jxl").write_bytes(pylibjxl.jpeg_to_jxl(jpeg.getvalue()))
    picture, original = read_picture(tmp_path / "a.jxl"), read_picture(tmp_path / "a.jpg")
    assert picture.colour.shape == (3, 24, 16)
    assert (picture.colour - original.colour).abs().mean() < 0.02
    assert picture.icc == profile
    assert picture.metadata.exif is not None and b"a camera" in picture.metadata.exif


@pytest.mark.parametrize(
    ("parts", "space"),
    [
        ((code(0), code(1), code(1), [0], code(13), code(1)), None),
        ((code(0), code(1), code(11), [0], code(13), code(1)), P3),
        ((code(0), code(1), code(9), [0], code(8), code(1)), colour_space.space_of_codes(9, 8)),
        (
            (code(0), code(1), code(1), [1], number(5_000_000, 24), code(1)),
            colour_space.ColourSpace(gamma=2.0),
        ),
    ],
)
def test_the_space_that_a_header_states_is_in_the_profile(
    tmp_path: Path, parts: tuple[list[int], ...], space: colour_space.ColourSpace | None
):
    (tmp_path / "a.jxl").write_bytes(with_header(encoding(*parts)))
    picture = read_picture(tmp_path / "a.jxl")
    assert picture.icc == (None if space is None else colour_space.make_profile(space, colours=3))
    assert np.array_equal(levels(tmp_path / "a.jxl"), pixels())


@pytest.mark.parametrize(
    ("header", "rule"),
    [
        (encoding(code(0), code(1), code(9), [0], code(16), code(1)), r"HDR \(PQ\)"),
        (encoding(code(3), code(1), code(1), [0], code(13), code(1)), "other than gray and RGB"),
        ([0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 1, 0, 0], "lossy JPEG XL with an ICC profile"),
        ([0, 1, 0, 0, 0, 0, 0, 1], "animated"),
        ([0, 1, 0, 0, 0, 0, 1], "with a preview"),
        ([0, 0, 0, 0, 0, 1, 1, 0, 0, *code(0), 0, 0, 0, 0, 0, 0, 0, 1], "premultiplied alpha"),
    ],
)
def test_what_would_not_be_read_as_it_is_meant_is_refused(tmp_path: Path, header: list[int], rule: str):
    (tmp_path / "a.jxl").write_bytes(with_header(header))
    with pytest.raises(ImageError, match=rf"a\.jxl: .*{rule}"):
        read_picture(tmp_path / "a.jxl")


@pytest.mark.parametrize("container", [False, True])
@pytest.mark.parametrize("length", [3, 12, 20, 40, 70, -5])
def test_a_cut_file_is_damaged(tmp_path: Path, length: int, container: bool):
    exif = b"MM\0*\0\0\0\x08\0\0\0\0\0\0" if container else None
    file = pylibjxl.encode(pixels(12, 17, 3), lossless=True, distance=0.0, exif=exif)
    (tmp_path / "a.jxl").write_bytes(file[:length])
    with pytest.raises(ImageError, match=r"a\.jxl: (damaged|cut off)"):
        read_picture(tmp_path / "a.jxl")


def test_a_missing_decoder_is_named(tmp_path: Path, monkeypatch):
    (tmp_path / "a.jxl").write_bytes(pylibjxl.encode(pixels()))
    monkeypatch.setitem(sys.modules, "pylibjxl", None)
    with pytest.raises(ImageError, match=r"a\.jxl: JPEG XL needs a decoder.*hf-moe-ir\[jxl\]"):
        read_picture(tmp_path / "a.jxl")
