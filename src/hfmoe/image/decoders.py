"""Why a decoder refused a file, and the decoder of HEVC (HEIC photos), which libvips' wheel lacks."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyvips

from hfmoe.image import other_formats
from hfmoe.image.metadata import field_names
from hfmoe.image.picture import ImageError

_PREFIX = re.compile(r"^(?P<who>[A-Za-z0-9_]+): ")
_SPEAKERS = {
    "png": ("vipspng", "libspng", "pngload", "spngload"),
    "jpeg": ("vipsjpeg", "jpegload", "libjpeg"),
    "tiff": ("tiff2vips", "tiffload", "libtiff"),
    "webp": ("webp", "webpload"),
    "heif": ("heif", "heifload"),
    "gif": ("gifload", "nsgif"),
}
"""Parts of libvips that report errors, by loader."""
_GENERAL = ("load error", "unable to write to memory", "bad seek")
_MISSING = {
    "HEVC": "HEIC (HEVC) needs a decoder that is missing: pip install 'hf-moe-ir[heic]', or convert it",
    "LZMA": "TIFF with LZMA, for which libvips has no decoder here; save it with another compression",
    "ZSTD": "TIFF with ZSTD, for which libvips has no decoder here; save it with another compression",
    "tiled separate planes": "TIFF in tiles with separate planes is not supported; save it interleaved",
    "compression support is not configured": "TIFF of a compression that libvips has no decoder for here",
    "Security limit exceeded": "larger than the decoder's limit",
    "Unsupported feature": "AVIF or HEIC of a kind that the decoder does not support; convert it first",
}
"""Messages for sound files that are refused, by libvips' words."""


def clear_errors() -> None:
    """Forget what libvips reported of earlier files, for it collects the errors of all in one text."""
    pyvips.vips_lib.vips_error_clear()


def refusal(path: Path, error: pyvips.Error, loader: str, *, damaged: str = "damaged or cut off") -> str:
    """Why a file is refused, in one line without its name; damaged: what is said where nothing else fits.

    libvips keeps one text of errors for all threads: lines that name other files or formats are dropped.
    """
    said = [line for line in _lines(error) if _is_about(line, path, loader)]
    for words, meaning in _MISSING.items():
        if any(words in line for line in said):
            return meaning
    own = [line for line in said if not any(words in line for words in _GENERAL)]
    return f"{damaged}{f' ({own[0]})' if own else ''}"


def _lines(error: pyvips.Error) -> list[str]:
    return [line.strip() for line in str(error.detail).splitlines() if line.strip()]


def _is_about(line: str, path: Path, loader: str) -> bool:
    """True where a line can be about this file: it names it, or this kind of file, or none."""
    if str(path) in line:
        return True
    speaker = _PREFIX.match(line)
    if speaker is None:
        return "/" not in line.split(": ")[0]
    who = speaker["who"].lower().removesuffix("_source")
    others = [name for kind, names in _SPEAKERS.items() if kind != loader for name in names]
    return who not in others


def with_pixels(path: Path, image: pyvips.Image) -> pyvips.Image:
    """The image of a file, whole where libvips does not decode it: those of `other_formats`, and HEVC by
    pillow-heif, where that is installed, in its depth.

    Raises ImageError where it cannot decode it.
    """
    kind = str(image.get("vips-loader")).removesuffix("load")
    if kind in other_formats.NAMES:
        return other_formats.decode(path, kind)
    compression = image.get("heif-compression") if image.get_typeof("heif-compression") else None
    if compression != "hevc":
        return image
    try:
        import pillow_heif
    except ImportError:
        return image
    try:
        opened = pillow_heif.open_heif(str(path), convert_hdr_to_8bit=False)
        values = np.ascontiguousarray(np.asarray(opened))
    except (ValueError, RuntimeError, OSError, EOFError, SyntaxError) as error:
        raise ImageError(f"{path}: damaged or cut off ({error})") from error
    values = values.reshape(*values.shape[:2], -1)
    if values.shape[2] < 3 <= image.bands:
        values = np.concatenate((values[..., :1].repeat(3, axis=2), values[..., 1:]), axis=2)
    height, width, bands = values.shape
    kind = {"uint8": "uchar", "uint16": "ushort"}[str(values.dtype)]
    decoded = pyvips.Image.new_from_memory(values.tobytes(), width, height, bands, kind)
    gray, deep = bands < 3, kind == "ushort"
    space: Any = ("grey16" if deep else "b-w") if gray else ("rgb16" if deep else "srgb")
    decoded = decoded.copy(interpretation=space, xres=image.xres, yres=image.yres)
    for name in field_names(image):
        if name in ("vips-loader", "bits-per-sample") or name.endswith("-data"):
            decoded.set_type(image.get_typeof(name), name, image.get(name))
    turn: Any = image.get("orientation") if image.get_typeof("orientation") else 1  # EXIF's is applied before
    decoded.set_type(pyvips.GValue.gint_type, "orientation", turn)
    return decoded
