"""Writing image files through libvips: the suffix decides the format, a file appears whole or not at all."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
from jaxtyping import Shaped

from hfmoe.image.arrays import as_array
from hfmoe.image.metadata import attach, exif_into_tiff, profile_fault
from hfmoe.image.picture import ImageError, Metadata, Picture, hwc, quantise
from hfmoe.runtime.files import atomic
from hfmoe.runtime.fork import check_fork

ROWS = 64
"""Rows of a picture that are rounded at a time."""
CLASSIC_TIFF = 2**32 - 2**26
"""Bytes of samples above which a TIFF file gets 64-bit offsets: less than 4 GiB by what else it holds."""
QUALITY = 95
ABOVE: Any = "up"
"""PNG's filter: the difference to the pixel above. At level 3, photos take half the bytes and two thirds of
the time of libvips' choice, no filter at level 6."""
OPTIMISED = 2**26
"""Pixels of a JPEG up to which its code tables are fitted to it: that holds the whole image in memory."""
BYTES = {"uchar": 1, "ushort": 2, "float": 4}
"""Bytes of a sample of each kind."""
_SYSTEM = "system error: "
"""Prefixes of libvips before the system's own words."""
KINDS = {"uint8": "uchar", "uint16": "ushort", "float32": "float"}
"""libvips' names of numpy's kinds of samples."""


@dataclass(frozen=True)
class _Format:
    """Capabilities and encoder of a file format; `side`: the longest in pixels."""

    name: str
    bits: int
    alpha: bool
    gray: bool
    side: int
    save: Callable[[pyvips.Image, Any, int, Any], None]


def _save_png(image: pyvips.Image, path: Any, _quality: int, keep: Any) -> None:
    image.pngsave(path, compression=3, filter=ABOVE, keep=keep)


def _save_tiff(image: pyvips.Image, path: Any, _quality: int, keep: Any) -> None:
    predictor: Any = "float" if image.format == "float" else "horizontal"
    size = image.width * image.height * image.bands * BYTES[str(image.format)]
    image.tiffsave(path, compression="deflate", predictor=predictor, bigtiff=size > CLASSIC_TIFF, keep=keep)


def _save_jpeg(image: pyvips.Image, path: Any, quality: int, keep: Any) -> None:
    fits = image.width * image.height <= OPTIMISED
    image.jpegsave(path, Q=quality, optimize_coding=fits, keep=keep)


def _save_webp(image: pyvips.Image, path: Any, quality: int, keep: Any) -> None:
    image.webpsave(path, Q=quality, lossless=quality == 100, exact=True, keep=keep)


def _save_gif(image: pyvips.Image, path: Any, _quality: int, keep: Any) -> None:
    image.gifsave(path, keep=keep)


def _save_avif(image: pyvips.Image, path: Any, quality: int, keep: Any) -> None:
    bits = 8 if image.format == "uchar" else 12
    lossless = quality == 100
    image.heifsave(path, Q=quality, lossless=lossless, compression="av1", bitdepth=bits, effort=4, keep=keep)


_PNG = _Format("PNG", 16, True, True, 2**31 - 1, _save_png)
_TIFF = _Format("TIFF", 32, True, True, 2**31 - 1, _save_tiff)
_JPEG = _Format("JPEG", 8, False, True, 65500, _save_jpeg)
_WEBP = _Format("WebP", 8, True, False, 16383, _save_webp)
_GIF = _Format("GIF", 8, True, False, 65535, _save_gif)
_AVIF = _Format("AVIF", 12, True, False, 16384, _save_avif)

FORMATS = {
    ".png": _PNG,
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".webp": _WEBP,
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".avif": _AVIF,
    ".gif": _GIF,
}
PAGED = ("TIFF", "WebP", "GIF")
"""Formats that hold several pages."""


def write_picture(path: Path | str, picture: Picture, *, quality: int = QUALITY) -> None:
    """Writes a picture in the format of the path's suffix, with the depth that the format can hold.

    TIFF keeps floats, PNG and TIFF 16 bits, AVIF 12 of them, JPEG and WebP 8. What becomes integers is
    clamped to [0, 1]. `quality` (1..100) is for JPEG, WebP and AVIF; the last two are lossless at 100.
    Profile and metadata are kept; WebP and AVIF hold no gray, so a gray profile is applied there. The file
    is written under another name and renamed, so that the path never holds half a picture.
    Raises ImageError as `check_writable`, for NaN, and for a place that cannot be written.
    """
    path = Path(path)
    height, width = picture.colour.shape[-2:]
    check_writable(path, picture, height=height, width=width, quality=quality)
    form = FORMATS[path.suffix.lower()]
    try:
        image = _encodable(picture, form)
    except ValueError as error:
        raise ImageError(f"{path}: {error}") from error
    save_image(path, image, picture, quality=quality)


def save_image(path: Path, image: pyvips.Image, like: Picture, *, quality: int) -> None:
    """Write what libvips makes, with the metadata of a picture like it. Raises ImageError."""
    check_fork("libvips")
    form = FORMATS[path.suffix.lower()]
    keep = "icc" if like.metadata == Metadata() else "all"
    try:
        _check_place(path)
        with atomic(path) as unfinished:
            try:
                form.save(image, os.fsencode(unfinished), quality, keep)
                if form is _TIFF:
                    exif_into_tiff(unfinished, like.metadata, width=image.width, height=image.height)
            except pyvips.Error as error:
                raise OSError(reason_of(error, place=unfinished)) from error
    except OSError as error:
        raise ImageError(f"{path}: cannot be written ({error.strerror or error})") from error


def check_writable(
    path: Path | str, picture: Picture, *, height: int, width: int, quality: int = QUALITY
) -> None:
    """ImageError when a picture like this one, of height x width pixels, cannot be written to path.

    For an unknown suffix, alpha in a JPEG, a format that holds no such sides, values outside [0, 1] in a
    format without floats, a profile for other colours, a wrong quality. To be asked before long work.
    """
    path = Path(path)
    if "\0" in str(path):
        raise ImageError(f"{path}: a name holds no null")
    form = FORMATS.get(path.suffix.lower())
    if form is None:
        raise ImageError(f"{path}: suffix {path.suffix!r} is none of {', '.join(FORMATS)}")
    if picture.alpha is not None and not form.alpha:
        raise ImageError(
            f"{path}: {form.name} holds no alpha; use PNG, WebP, TIFF or AVIF, or --background white"
        )
    if max(height, width) > form.side:
        size = f"{width} x {height} pixels"
        raise ImageError(f"{path}: {size}; a {form.name} side holds at most {form.side}, use PNG or TIFF")
    if picture.bits == 32 and form.bits < 32 and _leaves_unit(picture):
        raise ImageError(f"{path}: {form.name} holds no values outside [0, 1], as this picture has; use TIFF")
    if not 1 <= quality <= 100:
        raise ImageError(f"{path}: quality {quality} must be in [1, 100]")
    fault = picture.icc and profile_fault(picture.icc, colours=picture.colour.shape[0])
    if fault:
        raise ImageError(f"{path}: the ICC profile {fault}")


def _leaves_unit(picture: Picture) -> bool:
    return bool(picture.colour.min() < 0 or picture.colour.max() > 1)


def _check_place(path: Path) -> None:
    if path.is_dir():
        raise ImageError(f"{path}: a folder is in the way")
    if not path.parent.is_dir():
        raise ImageError(f"{path}: the folder {path.parent} does not exist")


def stored_bits(path: Path, picture: Picture) -> int:
    """Depth in which a picture is stored in the format of a path."""
    return min(FORMATS[path.suffix.lower()].bits, picture.bits)


def _encodable(picture: Picture, form: _Format) -> pyvips.Image:
    """A libvips image of the picture's levels, in the high bits of 16 where there are more than 8."""
    samples = stored_samples(picture, bits=min(form.bits, picture.bits))
    height, width, bands = samples.shape
    image = pyvips.Image.new_from_memory(samples.data, width, height, bands, KINDS[str(samples.dtype)])
    return dress(image, picture, gray_allowed=form.gray)


def dress(image: pyvips.Image, like: Picture, *, gray_allowed: bool) -> pyvips.Image:
    """An image of stored levels with the colour space, profile and metadata of a picture like it."""
    kind, gray = str(image.format), like.colour.shape[0] == 1
    spaces = {"uchar": ("srgb", "b-w"), "ushort": ("rgb16", "grey16"), "float": ("scrgb", "b-w")}
    image = attach(image.copy(interpretation=spaces[kind][gray]), like)
    if gray and not gray_allowed and like.icc is not None:
        image = image.icc_transform("srgb", embedded=True, depth=8 if kind == "uchar" else 16)
    return image


def stored_samples(picture: Picture, *, bits: int) -> Shaped[np.ndarray, "h w bands"]:
    """The levels of a picture as files store them, in the high bits of 16 where there are more than 8.

    Of 32 bits, the values themselves. A few rows at a time: beside the result itself this needs no memory
    that grows with the height. Raises ValueError for NaN.
    """
    bands, (height, width) = len(picture.colour) + (picture.alpha is not None), picture.colour.shape[1:]
    kind: Any = np.float32 if bits == 32 else np.uint16 if bits > 8 else np.uint8
    samples: np.ndarray = np.empty((height, width, bands), dtype=kind)
    for start in range(0, height, ROWS):
        rows = slice(start, start + ROWS)
        alpha = None if picture.alpha is None else picture.alpha[:, rows]
        part = as_array(hwc(replace(picture, colour=picture.colour[:, rows], alpha=alpha)))
        samples[rows] = _finite(part) if bits == 32 else quantise(part.astype(np.float64), bits=bits)
    if 8 < bits <= 16:
        samples <<= 16 - bits
    return samples


def _finite(values: np.ndarray) -> np.ndarray:
    if not np.isfinite(values).all():
        raise ValueError("the image holds values that are not finite")
    return values


def reason_of(error: pyvips.Error | OSError, *, place: Path) -> str:
    """The system's reason, else libvips', in one line.

    `place` is the unfinished file, which the caller removes. libvips keeps one text of errors for all
    threads, so a photo being read elsewhere may have taken the system's words: the place is asked again.
    """
    if isinstance(error, OSError):
        return error.strerror or str(error)
    lines = [line.strip() for line in str(error.detail).splitlines() if line.strip()]
    for line in lines:
        if line.startswith(_SYSTEM) and "Unknown error" not in line:
            return line.removeprefix(_SYSTEM)
    refusal = refusal_of(place)
    return refusal or next((line for line in lines if "Unknown error" not in line), str(error))


def refusal_of(place: Path) -> str | None:
    """Why the system takes no more bytes at the end of this file; None when it does."""
    try:
        with place.open("ab") as file:
            file.write(bytes(2**20))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.strerror
    return None
