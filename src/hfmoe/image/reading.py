"""Reading image files through libvips: integers and floats, gray, RGB, alpha, ICC, EXIF, upright."""

import errno
import logging
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyvips
from einops import rearrange, repeat
from jaxtyping import Float, UInt8

from hfmoe.image import other_formats
from hfmoe.image.arrays import Tensor, as_tensor
from hfmoe.image.decoders import clear_errors, refusal, with_pixels
from hfmoe.image.headers import CONVERTED, LEFT_OUT, complete, lab_to_srgb, stored_lab
from hfmoe.image.metadata import exif_of_tiff, profile_fault, read_metadata, read_profile, without_gain_map
from hfmoe.image.picture import Bits, ImageError, Metadata, PagesError, Picture, flatten, hwc
from hfmoe.image.sniffing import READABLE, sniff
from hfmoe.runtime.fork import check_fork

MAX_PIXELS = 2**28
ROWS = 64
"""Rows that are turned into floats at a time."""

_SAMPLES: dict[str, Bits] = {"uchar": 8, "ushort": 16, "float": 32}
_PLAIN_SPACES = ("b-w", "grey16", "srgb", "rgb", "rgb16", "scrgb")
_CONVERTED = {"cmyk": 4, "lab": 3, "xyz": 3}

_log = logging.getLogger(__name__)


class Plain(NamedTuple):
    """An image, undecoded, whose samples are colour first and alpha last; `top` is what stands for 1."""

    image: pyvips.Image
    has_alpha: bool
    top: int
    bits: Bits
    icc: bytes | None
    metadata: Metadata


class _Samples(NamedTuple):
    """Decoded samples, colour first and alpha last, and the number that stands for 1."""

    values: np.ndarray
    has_alpha: bool
    top: int
    bits: Bits
    icc: bytes | None
    metadata: Metadata


def read_picture(path: Path | str, *, max_pixels: int = MAX_PIXELS, page: int | None = None) -> Picture:
    """The picture in an image file as tensors, upright: the EXIF orientation is applied. page: of a TIFF.

    CMYK, Lab and XYZ are converted to sRGB; gray and RGB stay in the space of their profile. A profile that
    is damaged or for other colours is left out and logged. Floats are kept as they are, also outside [0, 1].
    Raises ImageError for what is missing, a folder, empty, cut off, not an image, animated,
    of several pages, larger than `max_pixels`, of samples other than 8 or 16 bit integers and floats,
    or of floats that are not finite or most of which lie outside [0, 1].
    """
    picture = read_arrays(path, max_pixels=max_pixels, page=page)
    alpha = None if picture.alpha is None else as_tensor(picture.alpha)
    return replace(picture, colour=as_tensor(picture.colour), alpha=alpha)


def read_arrays(path: Path | str, *, max_pixels: int = MAX_PIXELS, page: int | None = None) -> Picture:
    """As `read_picture`, with colour and alpha as numpy arrays: torch is not imported."""
    path = Path(path)
    samples = _read(path, max_pixels=max_pixels, options={} if page is None else {"page": page})
    return as_picture(path, samples)


def as_picture(path: Path, samples: _Samples) -> Picture:
    """The picture of decoded samples. Raises ImageError for floats that are refused."""
    bands = to_floats(samples.values, top=samples.top)
    colour, alpha = (bands[:-1], bands[-1:]) if samples.has_alpha else (bands, None)
    if samples.bits == 32:
        check_values(path, bands, alpha)
        outside = float(((colour < 0) | (colour > 1)).mean())
        check_range(path, float(colour.min()), float(colour.max()), outside=outside)
    return Picture(colour, alpha, samples.bits, samples.icc, samples.metadata)


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
    red, green, blue = colour.int()
    return ((299 * red + 587 * green + 114 * blue + 500) // 1000).byte()[None]


def read_8bit(path: Path | str) -> UInt8[Tensor, "c h w"]:
    """The file's colours in 8 bits, one channel where it is gray and three where it is not.

    Otherwise as `read_rgb8`.
    """
    samples = _read(Path(path), max_pixels=MAX_PIXELS)
    if samples.values.dtype == np.uint8 and not samples.has_alpha:
        return as_tensor(rearrange(samples.values, "h w c -> c h w"))
    flat = hwc(flatten(read_arrays(path))).clip(0, 1)
    return as_tensor(rearrange(np.floor(flat * 255 + 0.5).astype(np.uint8), "h w c -> c h w"))


def _read(path: Path, *, max_pixels: int, options: dict[str, int] | None = None) -> _Samples:
    image = open_header(path, max_pixels=max_pixels, options=options)
    loader = str(image.get("vips-loader")).split("load")[0]
    try:
        return decode(path, image, loader)
    except pyvips.Error as error:
        raise ImageError(f"{path}: {refusal(path, error, loader)}") from error


def open_header(
    path: Path,
    *,
    max_pixels: int = MAX_PIXELS,
    options: dict[str, int] | None = None,
    fail_on: str = "error",
) -> pyvips.Image:
    """A file's image with nothing decoded yet. Raises ImageError as `read_picture`, but for damage inside.

    options: of libvips' loader, such as a page; with any, files of several pages and GIF are opened. fail_on:
    "none" has damaged pixels decoded as far as can be.
    """
    _check_place(path)
    check_fork("libvips")
    try:
        loader = sniff(path, pages=bool(options))
    except OSError as error:
        raise ImageError(f"{path}: {error.strerror or error}") from error
    try:
        clear_errors()
        image = _open(path, loader, options or {}, fail_on)
    except pyvips.Error as error:
        reason = refusal(path, error, loader, damaged=f"cut off, or not a {READABLE} image")
        raise ImageError(f"{path}: {reason}") from error
    if not options:
        _check_single(path, image, loader)
    try:
        image = complete(path, image, loader, page=(options or {}).get("page", 0))
    except (ValueError, OSError) as error:
        raise ImageError(f"{path}: {error}") from error
    _check_header(path, image, max_pixels=max_pixels)
    return image


def _open(path: Path, loader: str, options: dict[str, int], fail_on: str = "error") -> pyvips.Image:
    """The image behind a header; from a source, so that brackets in a name are no options to libvips."""
    if loader in other_formats.NAMES:
        return other_formats.describe(path, loader)
    if loader == "tiff" and (stored := stored_lab(path, options.get("page", 0))):
        load: Any = pyvips.Image.tiffload_buffer
        return load(stored, access="sequential", fail_on=fail_on, **options)
    load = getattr(pyvips.Image, f"{loader}load_source")
    name: Any = os.fsencode(path)
    return load(pyvips.Source.new_from_file(name), access="sequential", fail_on=fail_on, **options)


def _check_place(path: Path) -> None:
    try:
        facts = path.stat()
    except (OSError, ValueError) as error:
        raise ImageError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    if stat.S_ISDIR(facts.st_mode):
        readable = os.access(path, os.R_OK | os.X_OK)
        raise ImageError(
            f"{path}: {'a folder, not an image file' if readable else os.strerror(errno.EACCES)}"
        )
    if not stat.S_ISREG(facts.st_mode):
        raise ImageError(f"{path}: a device, pipe or socket, not an image file")
    if facts.st_size == 0:
        raise ImageError(f"{path}: the file is empty")


def _check_single(path: Path, image: pyvips.Image, loader: str) -> None:
    if image.get_n_pages() > 1 and loader != "tiff":
        raise PagesError(f"{path}: animated or of {image.get_n_pages()} pages; single images are read")


def _check_header(path: Path, image: pyvips.Image, *, max_pixels: int) -> None:
    if image.width * image.height > max_pixels:
        size = f"{image.width} x {image.height}"
        raise ImageError(f"{path}: {size} pixels are more than the limit of {max_pixels}")
    space = str(image.interpretation)
    wanted = (_CONVERTED[space],) if space in _CONVERTED else (1, 3)
    colours = image.bands - bool(image.hasalpha())
    if colours not in wanted:
        raise ImageError(f"{path}: {colours} colour channels; 1 or 3 are read, with or without alpha")
    if space not in _PLAIN_SPACES and space not in _CONVERTED:
        raise ImageError(f"{path}: colours of the kind {space!r}; gray, RGB, CMYK, Lab and XYZ are read")
    if image.format not in _SAMPLES:
        kind = f"samples of type {image.format}"
        raise ImageError(f"{path}: {kind}; unsigned integers of 8 or 16 bits and floats of 32 are read")


def decode(path: Path, image: pyvips.Image, loader: str) -> _Samples:
    """Decode an image, upright. Raises pyvips.Error where it is damaged."""
    plain = make_plain(path, _upright(with_pixels(path, image)), loader)
    image = plain.image
    values = image.numpy().reshape(image.height, image.width, image.bands)
    return _Samples(values, *plain[1:])


def make_plain(path: Path, image: pyvips.Image, loader: str) -> Plain:
    """An upright image of a file in gray or RGB, with the profile and metadata that fit it."""
    metadata = read_metadata(image)
    if loader == "tiff":
        with path.open("rb") as file:
            metadata = replace(metadata, exif=exif_of_tiff(file))
    metadata = _without_gain_map(path, metadata)
    if image.get_typeof(CONVERTED):
        _check_converted(path, page=int(str(image.get(CONVERTED))))
    if image.get_typeof(LEFT_OUT):
        count = f"{image.get(LEFT_OUT)} of its samples, neither colour nor alpha,"
        _log.warning("%s: %s are left out", path, count)
    profile = _fitting_profile(path, image)
    bits_used = _bits_used(image, loader)
    if image.interpretation not in _PLAIN_SPACES:
        image, profile = _to_srgb(image, profile is not None), None
    bits = _SAMPLES[str(image.format)]
    tops = {8: 255, 16: (2**bits_used - 1) << (16 - bits_used), 32: 1}
    return Plain(image, bool(image.hasalpha()), tops[bits], bits, profile, metadata)


def flatten_plain(plain: Plain, background: tuple[float, float, float]) -> Plain:
    """An image laid over a colour, as `flatten` lays pictures."""
    image, (red, green, blue) = plain.image, background
    under = [red, green, blue]
    if image.bands == 2 and (plain.icc is not None or len(set(background)) == 1):
        under = [red if len(set(background)) == 1 else 0.299 * red + 0.587 * green + 0.114 * blue]
    elif image.bands == 2:
        space: Any = {8: "srgb", 16: "rgb16", 32: "scrgb"}[plain.bits]
        gray = image.extract_band(0)
        image = gray.bandjoin([gray, gray, image.extract_band(1)]).copy(interpretation=space)
    flat = image.flatten(background=[value * plain.top for value in under], max_alpha=plain.top)
    return plain._replace(image=flat.cast(str(image.format)), has_alpha=False)


def _check_converted(path: Path, *, page: int) -> None:
    """ImageError where libtiff decoded less than all, of which it says nothing."""
    lowest: Any = _open(path, "tiff", {"page": page}).extract_band(3).min()
    if lowest < 255:
        raise ImageError(f"{path}: damaged or cut off, or its codec is missing")


def _without_gain_map(path: Path, metadata: Metadata) -> Metadata:
    xmp = without_gain_map(metadata.xmp)
    if xmp == metadata.xmp:
        return metadata
    _log.warning(
        "%s: its gain map (HDR) is left out; what is restored is the picture of ordinary screens", path
    )
    return replace(metadata, xmp=xmp)


def is_turned(image: pyvips.Image) -> bool:
    """True where the orientation says that an image does not lie upright."""
    return bool(image.get_typeof("orientation") and image.get("orientation") != 1)


def _upright(image: pyvips.Image) -> pyvips.Image:
    return image.copy_memory().autorot() if is_turned(image) else image


def _fitting_profile(path: Path, image: pyvips.Image) -> bytes | None:
    """The profile, unless it is of no use to these colours: then everybody else ignores it, too."""
    profile = read_profile(image)
    if profile is None or image.interpretation in ("lab", "xyz"):
        return None
    fault = profile_fault(profile, colours=image.bands - bool(image.hasalpha()))
    if fault is None:
        return profile
    _log.warning("%s: its ICC profile %s and is left out", path, fault)
    return None


def _bits_used(image: pyvips.Image, loader: str) -> int:
    """High bits of a 16-bit sample that carry something: AVIF and HEIC hold 10 or 12."""
    if image.format == "ushort" and loader == "heif":
        return int(str(image.get("bits-per-sample")))
    return 16


def _to_srgb(image: pyvips.Image, has_profile: bool) -> pyvips.Image:
    """sRGB of the same depth, through the embedded profile where there is a good one."""
    deep = image.format != "uchar"
    if has_profile:
        return image.icc_transform(
            "srgb", embedded=True, depth=16 if deep else 8, black_point_compensation=True
        )
    if image.interpretation == "lab":
        return lab_to_srgb(image, depth=16)
    image = image.copy()
    image.remove("icc-profile-data")
    if image.interpretation == "cmyk":
        return image.icc_transform(
            "srgb", input_profile="cmyk", depth=16 if deep else 8, black_point_compensation=True
        )
    return image.colourspace("rgb16" if deep else "srgb")


def to_floats(values: np.ndarray, *, top: int) -> Float[np.ndarray, "bands h w"]:
    """Samples in units of `top`, a few rows at a time: beside the result this needs little memory.

    NaN and numbers beyond float32 pass without a warning: who reads files refuses them by name.
    """
    height, width, bands = values.shape
    floats = np.empty((bands, height, width), np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        for start in range(0, height, ROWS):
            part = values[start : start + ROWS].astype(np.float32)
            floats[:, start : start + ROWS] = rearrange(part, "h w bands -> bands h w") / top
    return floats


def check_values(path: Path, values: np.ndarray, alpha: np.ndarray | None) -> None:
    """ImageError for floats that are not finite, and alpha outside [0, 1]."""
    if not np.isfinite(values).all():
        raise ImageError(f"{path}: holds values that are not finite (NaN or infinity)")
    if alpha is not None and (alpha.min() < 0 or alpha.max() > 1):
        raise ImageError(f"{path}: alpha from {alpha.min():g} to {alpha.max():g} must be in [0, 1]")


def check_range(path: Path, low: float, high: float, *, outside: float) -> None:
    """ImageError for floats from low to high of which more than half lie outside [0, 1]."""
    if outside > 0.5:
        extent = f"{low:g} to {high:g}"
        raise ImageError(f"{path}: floats from {extent}, most of them outside [0, 1]; divide them first")
