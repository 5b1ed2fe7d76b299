"""Reading image files through libvips: 8 and 16 bits, gray, RGB, alpha, ICC, upright."""

import stat
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyvips
import torch
from einops import rearrange, repeat
from jaxtyping import UInt8
from torch import Tensor

from hfmoe.image.picture import ImageError, Picture, flatten, hwc

MAX_PIXELS = 2**28

_LOADERS = ("pngload", "jpegload", "webpload", "tiffload", "heifload")
_READABLE = "PNG, JPEG, WebP, TIFF or AVIF"
_PLAIN_SPACES = ("b-w", "grey16", "srgb", "rgb", "rgb16")
_LAB = ("lab", "labs", "labq")


class _Samples(NamedTuple):
    """Decoded samples, colour first and alpha last, and the integer that stands for 1."""

    values: np.ndarray
    has_alpha: bool
    top: int
    icc: bytes | None


def read_picture(path: Path | str, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """The picture in an image file, upright: the EXIF orientation is applied.

    CMYK, Lab and other spaces are converted to sRGB; gray and RGB stay in the space of their profile.
    Raises ImageError for what is missing, a folder, empty, cut off, not an image, animated,
    of several pages, larger than `max_pixels` or of samples other than 8 or 16 bit integers.
    """
    samples = _read(Path(path), max_pixels=max_pixels)
    bands = rearrange(torch.from_numpy(samples.values.astype(np.float32)), "h w bands -> bands h w")
    bands = (bands / samples.top).contiguous()
    bits: Literal[8, 16] = 8 if samples.values.dtype == np.uint8 else 16
    if samples.has_alpha:
        return Picture(bands[:-1], bands[-1:], bits, samples.icc)
    return Picture(bands, None, bits, samples.icc)


def read_rgb8(path: Path | str) -> UInt8[Tensor, "3 h w"]:
    """The file's colours in 8 bits, profile ignored; gray becomes three equal channels.

    16 bits are rounded to 8, transparency is laid over white. Raises ImageError as `read_picture`.
    """
    colour = read_8bit(path)
    return repeat(colour, "1 h w -> 3 h w").contiguous() if len(colour) == 1 else colour


def read_gray8(path: Path | str) -> UInt8[Tensor, "1 h w"]:
    """A gray file's samples in 8 bits; of a colour file, its full-range BT.601 luma.

    Otherwise as `read_rgb8`.
    """
    colour = read_8bit(path)
    if len(colour) == 1:
        return colour
    red, green, blue = colour.to(torch.int32)
    return ((299 * red + 587 * green + 114 * blue + 500) // 1000).to(torch.uint8)[None]


def read_8bit(path: Path | str) -> UInt8[Tensor, "c h w"]:
    """The file's colours in 8 bits, one channel where it is gray and three where it is not.

    Otherwise as `read_rgb8`.
    """
    samples = _read(Path(path), max_pixels=MAX_PIXELS)
    if samples.values.dtype == np.uint8 and not samples.has_alpha:
        return rearrange(torch.from_numpy(samples.values), "h w c -> c h w").contiguous()
    flat = hwc(flatten(read_picture(path)))
    return rearrange((flat * 255 + 0.5).floor().to(torch.uint8), "h w c -> c h w").contiguous()


def _read(path: Path, *, max_pixels: int) -> _Samples:
    image = open_header(path, max_pixels=max_pixels)
    try:
        return _decode(path, image)
    except pyvips.Error as error:
        raise ImageError(f"{path}: damaged or cut off ({_reason(error)})") from error


def open_header(path: Path, *, max_pixels: int = MAX_PIXELS) -> pyvips.Image:
    """A file's image with nothing decoded yet. Raises ImageError as `read_picture`, but for damage inside."""
    _check_place(path)
    try:
        image = _open(path)
    except pyvips.Error as error:
        raise ImageError(f"{path}: cut off, or not a {_READABLE} image ({_reason(error)})") from error
    _check_header(path, image, max_pixels=max_pixels)
    return image


def _open(path: Path) -> pyvips.Image:
    """The image behind a header; from a source, so that brackets in a name are no options to libvips."""
    source = pyvips.Source.new_from_file(str(path))
    image = pyvips.Image.new_from_source(source, "", access="sequential", fail_on="error")
    if str(image.get("vips-loader")).startswith("uhdrload"):
        source = pyvips.Source.new_from_file(str(path))
        image = pyvips.Image.jpegload_source(source, access="sequential", fail_on="error")
    return image


def _check_place(path: Path) -> None:
    try:
        facts = path.stat()
    except OSError as error:
        raise ImageError(f"{path}: {error.strerror or error}") from error
    if stat.S_ISDIR(facts.st_mode):
        raise ImageError(f"{path}: a folder, not an image file")
    if facts.st_size == 0:
        raise ImageError(f"{path}: the file is empty")


def _check_header(path: Path, image: pyvips.Image, *, max_pixels: int) -> None:
    loader = str(image.get("vips-loader"))
    if not loader.startswith(_LOADERS):
        raise ImageError(f"{path}: a {loader.split('load')[0]} file; {_READABLE} is read")
    if image.get_n_pages() > 1:
        raise ImageError(f"{path}: animated or of {image.get_n_pages()} pages; single images are read")
    if image.width * image.height > max_pixels:
        size = f"{image.width} x {image.height}"
        raise ImageError(f"{path}: {size} pixels are more than the limit of {max_pixels}")


def _decode(path: Path, image: pyvips.Image) -> _Samples:
    image = _upright(image)
    profile = _profile(image)
    bits_used = _bits_used(image)
    if image.format not in ("uchar", "ushort") and image.interpretation not in _LAB:
        raise ImageError(f"{path}: samples of type {image.format}; 8 and 16 bit integers are read")
    if image.interpretation not in _PLAIN_SPACES:
        image, profile = _to_srgb(image), None
    has_alpha = bool(image.hasalpha())
    colours = image.bands - has_alpha
    if colours not in (1, 3):
        raise ImageError(f"{path}: {colours} colour channels; 1 or 3 are read, with or without alpha")
    top = (2**bits_used - 1) << (16 - bits_used) if image.format == "ushort" else 255
    values = image.numpy()
    return _Samples(values.reshape(image.height, image.width, image.bands), has_alpha, top, profile)


def _upright(image: pyvips.Image) -> pyvips.Image:
    turned = image.get_typeof("orientation") and image.get("orientation") != 1
    return image.copy_memory().autorot() if turned else image


def _profile(image: pyvips.Image) -> bytes | None:
    profile: Any = image.get("icc-profile-data") if image.get_typeof("icc-profile-data") else None
    return None if profile is None else bytes(profile)


def _bits_used(image: pyvips.Image) -> int:
    """High bits of a 16-bit sample that carry something: AVIF and HEIC hold 10 or 12."""
    if image.format == "ushort" and str(image.get("vips-loader")).startswith("heifload"):
        return int(str(image.get("bits-per-sample")))
    return 16


def _to_srgb(image: pyvips.Image) -> pyvips.Image:
    """sRGB of the same depth, through the embedded profile where there is one."""
    deep = image.format not in ("uchar", "char") and image.coding == "none"
    if image.get_typeof("icc-profile-data"):
        return image.icc_transform("srgb", embedded=True, depth=16 if deep else 8)
    return image.colourspace("rgb16" if deep else "srgb")


def _reason(error: pyvips.Error) -> str:
    """The first thing libvips said, in one line."""
    lines = [line.strip() for line in str(error.detail).splitlines() if line.strip()]
    return lines[0] if lines else str(error)
