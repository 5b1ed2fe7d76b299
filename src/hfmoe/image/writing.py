"""Writing image files through libvips: the suffix decides the format, a file appears whole or not at all."""

import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
from jaxtyping import Shaped

from hfmoe.image.depth import quantise
from hfmoe.image.picture import ImageError, Picture, hwc

ROWS = 64
"""Rows of a picture that are rounded at a time."""


@dataclass(frozen=True)
class _Format:
    """What a file format can hold and how it is written."""

    name: str
    bits: int
    alpha: bool
    save: Callable[[pyvips.Image, str, int], None]


def _save_png(image: pyvips.Image, path: str, _quality: int) -> None:
    image.pngsave(path)


def _save_tiff(image: pyvips.Image, path: str, _quality: int) -> None:
    image.tiffsave(path, compression="deflate", predictor="horizontal")


def _save_jpeg(image: pyvips.Image, path: str, quality: int) -> None:
    image.jpegsave(path, Q=quality, optimize_coding=True)


def _save_webp(image: pyvips.Image, path: str, quality: int) -> None:
    image.webpsave(path, Q=quality, lossless=quality == 100, exact=True)


def _save_avif(image: pyvips.Image, path: str, quality: int) -> None:
    bits = 8 if image.format == "uchar" else 12
    lossless = quality == 100
    image.heifsave(path, Q=quality, lossless=lossless, compression="av1", bitdepth=bits, effort=4)


_PNG = _Format("PNG", 16, True, _save_png)
_TIFF = _Format("TIFF", 16, True, _save_tiff)
_JPEG = _Format("JPEG", 8, False, _save_jpeg)
_WEBP = _Format("WebP", 8, True, _save_webp)
_AVIF = _Format("AVIF", 12, True, _save_avif)

FORMATS = {
    ".png": _PNG,
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".webp": _WEBP,
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".avif": _AVIF,
}


def write_picture(path: Path | str, picture: Picture, *, quality: int = 95) -> None:
    """Writes a picture in the format of the path's suffix, with the depth that the format can hold.

    PNG and TIFF keep 16 bits, AVIF 12 of them, JPEG and WebP 8. Colours are clamped to [0, 1].
    `quality` (1..100) is for JPEG, WebP and AVIF; the last two are lossless at 100. The file is
    written under another name and renamed, so that the path never holds half a picture.
    Raises ImageError for an unknown suffix, alpha in a JPEG, NaN, or a place that cannot be written.
    """
    path = Path(path)
    form = _format(path, picture, quality=quality)
    try:
        image = _encodable(picture, bits=min(form.bits, picture.bits))
    except ValueError as error:
        raise ImageError(f"{path}: {error}") from error
    unfinished = path.with_name(f".{path.stem[:64]}-{secrets.token_hex(4)}{path.suffix}")
    try:
        _check_place(path)
        form.save(image, str(unfinished), quality)
        unfinished.replace(path)
    except (pyvips.Error, OSError) as error:
        raise ImageError(f"{path}: cannot be written ({_reason(error)})") from error
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def _format(path: Path, picture: Picture, *, quality: int) -> _Format:
    form = FORMATS.get(path.suffix.lower())
    if form is None:
        raise ImageError(f"{path}: suffix {path.suffix!r} is none of {', '.join(FORMATS)}")
    if picture.alpha is not None and not form.alpha:
        raise ImageError(f"{path}: {form.name} holds no alpha; use PNG, WebP, TIFF or AVIF, or flatten it")
    if not 1 <= quality <= 100:
        raise ImageError(f"{path}: quality {quality} must be in [1, 100]")
    return form


def _check_place(path: Path) -> None:
    if path.is_dir():
        raise ImageError(f"{path}: a folder is in the way")
    if not path.parent.is_dir():
        raise ImageError(f"{path}: the folder {path.parent} does not exist")


def _encodable(picture: Picture, *, bits: int) -> pyvips.Image:
    """A libvips image of the picture's levels, in the high bits of 16 where there are more than 8."""
    samples = stored_samples(picture, bits=bits)
    deep = samples.dtype == np.uint16
    height, width, bands = samples.shape
    kind = "ushort" if deep else "uchar"
    image = pyvips.Image.new_from_memory(samples.data, width, height, bands, kind)
    gray = picture.colour.shape[0] == 1
    space = ("grey16" if gray else "rgb16") if deep else ("b-w" if gray else "srgb")
    image = image.copy(interpretation=space)
    if picture.icc is not None:
        _check_profile(picture)
        profile: Any = picture.icc
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    return image


def stored_samples(picture: Picture, *, bits: int) -> Shaped[np.ndarray, "h w bands"]:
    """The levels of a picture as files store them, in the high bits of 16 where there are more than 8.

    A few rows at a time: beside the result itself this needs no memory that grows with the height.
    """
    bands, (height, width) = len(picture.colour) + (picture.alpha is not None), picture.colour.shape[1:]
    samples = np.empty((height, width, bands), dtype=np.uint16 if bits > 8 else np.uint8)
    for start in range(0, height, ROWS):
        rows = slice(start, start + ROWS)
        alpha = None if picture.alpha is None else picture.alpha[:, rows]
        part = hwc(replace(picture, colour=picture.colour[:, rows], alpha=alpha))
        samples[rows] = quantise(part.detach().cpu().double(), bits=bits).numpy()
    if bits > 8:
        samples <<= 16 - bits
    return samples


def _check_profile(picture: Picture) -> None:
    """A profile that is for another number of channels would make the file unreadable for others."""
    assert picture.icc is not None
    space = picture.icc[16:20]
    wanted = b"GRAY" if picture.colour.shape[0] == 1 else b"RGB "
    if space != wanted:
        raise ValueError(f"an ICC profile for {space!r} does not fit {wanted.decode().strip()} colours")


def _reason(error: pyvips.Error | OSError) -> str:
    """The first thing the system or libvips said, in one line."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return next((line.strip() for line in str(error.detail).splitlines() if line.strip()), str(error))
