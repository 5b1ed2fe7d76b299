"""JPEG XL by libjxl (pylibjxl), in 8 bits; the header is read here, for pylibjxl tells no colour space.

Source: ISO/IEC 18181-1:2024, annex D, and 18181-2 for the container.
"""

from io import BufferedIOBase
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hfmoe.image.colour_space import ColourSpace, boxes, make_profile, space_of_codes
from hfmoe.image.picture import ImageError

CODESTREAM, CONTAINER = b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"
_PARTS = {b"jxlc": 0, b"jxlp": 4}
"""Boxes that hold the codestream, and the bytes before it in each."""
_HEAD = 4096
_GRAY, _CUSTOM, _ALPHA, _SPOT, _MOSAIC = 1, 2, 0, 2, 5
_WHITES = {1: (0.3127, 0.3290), 10: (1 / 3, 1 / 3), 11: (0.314, 0.351)}
_SIZES = ((0, 9), (0, 13), (0, 18), (0, 30))
_XY = ((0, 19), (524288, 19), (1048576, 20), (2097152, 21))
_ENUM = ((0, 0), (1, 0), (2, 4), (18, 6))


class JxlHeader(NamedTuple):
    """Size, bands and bits of a file, upright, and the colour space of its samples; None: of a profile."""

    width: int
    height: int
    bands: int
    space: ColourSpace | None


class JxlSamples(NamedTuple):
    """Samples of a file, upright, with its profile, EXIF and XMP."""

    values: np.ndarray
    profile: bytes | None
    exif: bytes | None
    xmp: bytes | None


def read_header(path: Path) -> JxlHeader:
    """Read a file's header. Raises ImageError for damage and for what would not be read as it is meant."""
    library = _library(path)
    try:
        with path.open("rb") as file:
            space = _read_space(_codestream(file))
        found = library.probe(path.read_bytes())
    except ValueError as error:
        raise ImageError(f"{path}: {error}") from error
    except RuntimeError as error:
        raise ImageError(f"{path}: damaged or cut off ({error})") from error
    bits = found["bits_per_sample"]
    if bits > 8:
        kind = "floats" if found["exponent_bits_per_sample"] else f"{bits} bits"
        raise ImageError(f"{path}: JPEG XL of {kind}, of which 8 bits would be read; convert it")
    return JxlHeader(found["width"], found["height"], found["channels"], space)


def read_samples(path: Path) -> JxlSamples:
    """Decode a file. Raises ImageError as `read_header`."""
    space = read_header(path).space
    try:
        values, said = _library(path).decode(path.read_bytes(), metadata=True)
    except (RuntimeError, ValueError, MemoryError) as error:
        raise ImageError(f"{path}: damaged or cut off ({error})") from error
    profile = said.get("icc")
    if space is not None:
        gray = values.ndim == 2 or values.shape[2] < 3
        profile = None if space.is_srgb else make_profile(space, colours=1 if gray else 3)
    return JxlSamples(values, profile, said.get("exif"), said.get("xmp"))


def _library(path: Path) -> Any:
    try:
        import pylibjxl
    except ImportError as error:
        rule = "needs a decoder that is missing: pip install 'hf-moe-ir[jxl]', or convert it"
        raise ImageError(f"{path}: JPEG XL {rule}") from error
    return pylibjxl


def _codestream(file: BufferedIOBase) -> bytes:
    """The first bytes of a file's codestream."""
    if (head := file.read(_HEAD)).startswith(CODESTREAM):
        return head
    stop = file.seek(0, 2)
    for name, start, end in boxes(file, 0, stop):
        if name in _PARTS:
            file.seek(start + _PARTS[name])
            return file.read(min(_HEAD, end - start))
    raise ValueError("damaged or cut off (no codestream)")


class _Bits:
    """Numbers of so many bits each, the lowest first."""

    def __init__(self, content: bytes):
        self._bits = int.from_bytes(content, "little")
        self._left = 8 * len(content)

    def take(self, count: int) -> int:
        """The next number. Raises ValueError where the file ends before it."""
        self._left -= count
        if self._left < 0:
            raise ValueError("damaged or cut off (no header)")
        value = self._bits & ((1 << count) - 1)
        self._bits >>= count
        return value

    def choose(self, *choices: tuple[int, int]) -> int:
        """The next number that two bits before it say the offset and the bits of."""
        offset, count = choices[self.take(2)]
        return offset + self.take(count)


def _read_space(codestream: bytes) -> ColourSpace | None:
    """The colour space of the samples. ValueError for animations, previews and premultiplied alpha."""
    bits = _Bits(codestream[len(CODESTREAM) :])
    _skip_size(bits)
    if bits.take(1):
        return ColourSpace()
    if bits.take(1):
        bits.take(3)
        if bits.take(1):
            _skip_size(bits)
        if bits.take(1):
            raise ValueError("JPEG XL with a preview, which is not read; convert it")
        if bits.take(1):
            raise ValueError("animated; single images are read")
    _skip_depth(bits)
    bits.take(1)
    for _ in range(bits.choose((0, 0), (1, 0), (2, 4), (1, 12))):
        _check_channel(bits)
    return _read_encoding(bits, in_xyb=bool(bits.take(1)))


def _skip_size(bits: _Bits) -> None:
    small = bits.take(1)
    for is_width in (False, True):
        if is_width and bits.take(3):
            return
        bits.take(5) if small else bits.choose(*_SIZES)


def _skip_depth(bits: _Bits) -> None:
    if bits.take(1):
        bits.choose((32, 0), (16, 0), (24, 0), (1, 6))
        bits.take(4)
    else:
        bits.choose((8, 0), (10, 0), (12, 0), (1, 6))


def _check_channel(bits: _Bits) -> None:
    """ValueError for an extra channel that is alpha by which colours are multiplied, or a spot colour."""
    if bits.take(1):
        return
    kind = bits.choose(*_ENUM)
    _skip_depth(bits)
    bits.choose((0, 0), (3, 0), (4, 0), (1, 3))
    bits.take(8 * bits.choose((0, 0), (0, 4), (16, 5), (48, 10)))
    if kind == _ALPHA and bits.take(1):
        raise ValueError("JPEG XL with premultiplied alpha, which is not converted; convert it")
    if kind in (_SPOT, _MOSAIC):
        raise ValueError("JPEG XL with a spot colour or a mosaic, which is not converted; convert it")


def _read_encoding(bits: _Bits, *, in_xyb: bool) -> ColourSpace | None:
    """The colour space that a header states; None where the profile behind it does."""
    if bits.take(1):
        return ColourSpace()
    has_profile, kind = bits.take(1), bits.choose(*_ENUM)
    if kind > _GRAY:
        raise ValueError("JPEG XL of colours other than gray and RGB")
    if has_profile:
        if in_xyb:
            raise ValueError("lossy JPEG XL with an ICC profile, which is not converted; convert it")
        return None
    white, corners = _read_points(bits, gray=kind == _GRAY)
    if bits.take(1):
        space = ColourSpace(gamma=1e7 / max(1, bits.take(24)))
    else:
        space = space_of_codes(1, bits.choose(*_ENUM))
    return space._replace(chromaticities=(*(corners or space.chromaticities[:6]), *white))


def _read_points(bits: _Bits, *, gray: bool) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Chromaticities of white, and of red, green and blue; none of these where the image is gray."""
    code = bits.choose(*_ENUM)
    white = _read_xy(bits) if code == _CUSTOM else _WHITES.get(code)
    if white is None:
        raise ValueError(f"a white point of the code {code}, which is not known")
    if gray:
        return white, ()
    code = bits.choose(*_ENUM)
    if code == _CUSTOM:
        return white, (*_read_xy(bits), *_read_xy(bits), *_read_xy(bits))
    return white, space_of_codes(code, 1).chromaticities[:6]


def _read_xy(bits: _Bits) -> tuple[float, float]:
    """A custom point: two numbers in millionths whose lowest bit is the sign."""
    x, y = (((value := bits.choose(*_XY)) >> 1) ^ -(value & 1) for _ in range(2))
    return x / 1e6, y / 1e6
