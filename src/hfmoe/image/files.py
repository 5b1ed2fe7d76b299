"""Image files: reading, writing, listing them and their facts. All of libvips stays behind this door."""

import hashlib
import logging
import os
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from hfmoe.image.metadata import exif_of_tiff, read_metadata, software_of_exif
from hfmoe.image.other_formats import SUFFIXES
from hfmoe.image.picture import Bits, ImageError, Metadata, Picture, flatten, strip
from hfmoe.image.reading import (
    MAX_PIXELS,
    open_header,
    read_8bit,
    read_arrays,
    read_gray8,
    read_picture,
    read_rgb8,
)
from hfmoe.image.sniffing import content_of
from hfmoe.image.writing import FORMATS, PAGED, QUALITY, check_writable, write_picture

IMAGE_SUFFIXES = tuple(suffix for suffix in FORMATS if suffix != ".gif")
"""Suffixes of single pictures, in and out."""
READ_SUFFIXES = (*IMAGE_SUFFIXES, ".jfif", ".jpe", ".heic", ".heif", *SUFFIXES)
"""Suffixes of single pictures that are read; one whose decoder is missing is a named failure."""
PAGED_SUFFIXES = tuple(suffix for suffix, form in FORMATS.items() if form.name in PAGED)
"""Suffixes of files that can hold several pages."""

_log = logging.getLogger(__name__)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_ZIGZAG = sorted(range(64), key=lambda k: (k // 8 + k % 8, k // 8 if (k // 8 + k % 8) % 2 else k % 8))
_START_OF_SCAN = 0xDA
_TABLES = 0xDB
_WITHOUT_LENGTH = (0x01, *range(0xD0, 0xD9))

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "PAGED_SUFFIXES",
    "QUALITY",
    "READ_SUFFIXES",
    "Bits",
    "FileFacts",
    "ImageError",
    "Metadata",
    "Picture",
    "check_writable",
    "flatten",
    "list_images",
    "printable",
    "read_8bit",
    "read_arrays",
    "read_facts",
    "read_gray8",
    "read_luma_table",
    "read_picture",
    "read_rgb8",
    "say_not_taken",
    "strip",
    "write_picture",
]


def list_images(folder: Path | str, *, recursive: bool = False) -> list[Path]:
    """The files of a folder with a suffix of READ_SUFFIXES, sorted by path; hidden ones are left out.

    Other files that are images by their content are counted and named in the log, once a process.
    Raises ImageError when the folder is missing or not a folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ImageError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}")
    found = sorted(folder.rglob("*") if recursive else folder.iterdir())
    files = [path for path in found if not _is_hidden(path, folder) and path.is_file()]
    images = [path for path in files if path.suffix.lower() in READ_SUFFIXES]
    others = ((path, content_of(path)) for path in files if path.suffix.lower() not in READ_SUFFIXES)
    say_not_taken(folder, [f"{path.relative_to(folder)} ({kind})" for path, kind in others if kind])
    return images


def say_not_taken(place: Path, names: Sequence[str]) -> None:
    """Log how many files of a folder or archive are images by their content and are not taken."""
    if names:
        _log_once(place, printable(names[0]) + (f" and {len(names) - 1} more" if len(names) > 1 else ""))


@cache
def _log_once(place: Path, names: str) -> None:
    _log.warning("%s: not taken, though images by their content: %s", printable(place), names)


def printable(name: Path | str) -> str:
    """A name as one line that every file and terminal takes.

    Bytes that are none of UTF-8, line breaks and control characters become escapes with backslashes.
    """
    text = os.fsencode(name).decode(errors="backslashreplace")
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _is_hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


class FileFacts(NamedTuple):
    """Size in pixels, bits a sample, colour channels, alpha, format, and a short name of the ICC profile.

    on_its_side: the orientation turns the image by a quarter, to `upright`; software: that EXIF names.
    """

    height: int
    width: int
    bits: int
    channels: int
    has_alpha: bool
    format: str
    profile: str
    on_its_side: bool = False
    software: str | None = None

    @property
    def upright(self) -> tuple[int, int]:
        """Height and width of the upright image."""
        return (self.width, self.height) if self.on_its_side else (self.height, self.width)


def read_facts(path: Path | str, *, max_pixels: int = MAX_PIXELS) -> FileFacts:
    """Read a file's header. Raises ImageError for what `read_picture` refuses by its header."""
    image = open_header(Path(path), max_pixels=max_pixels)
    profile: Any = image.get("icc-profile-data") if image.get_typeof("icc-profile-data") else b""
    icc = bytes(profile)
    has_alpha = bool(image.hasalpha())
    return FileFacts(
        height=image.height,
        width=image.width,
        bits={"ushort": 16, "float": 32}.get(str(image.format), 8),
        channels=image.bands - has_alpha,
        has_alpha=has_alpha,
        format=str(image.get("vips-loader")).split("load")[0],
        profile=hashlib.sha256(icc).hexdigest()[:8] if icc else "none",
        on_its_side=bool(image.get_typeof("orientation")) and int(str(image.get("orientation"))) > 4,
        software=_software(Path(path), image),
    )


def _software(path: Path, image: Any) -> str | None:
    if str(image.get("vips-loader")).startswith("tiff"):
        with path.open("rb") as file:
            exif = exif_of_tiff(file)
    else:
        exif = read_metadata(image).exif
    return None if exif is None else software_of_exif(exif)


def read_luma_table(path: Path | str) -> Int[np.ndarray, "8 8"] | None:
    """The first quantisation table of a JPEG file, luma's; None for other files and where there is none."""
    with Path(path).open("rb") as file:
        if file.read(2) != b"\xff\xd8":
            return None
        while (marker := file.read(2)) and len(marker) == 2 and marker[0] == 0xFF:
            if marker[1] == _START_OF_SCAN:
                return None
            if marker[1] in _WITHOUT_LENGTH:
                continue
            body = file.read(max(0, int.from_bytes(file.read(2), "big") - 2))
            if marker[1] == _TABLES:
                return _parse_table(body)
    return None


def _parse_table(body: bytes) -> Int[np.ndarray, "8 8"] | None:
    if not body:
        return None
    kind = np.dtype(">u2") if body[0] >> 4 else np.dtype("u1")
    if len(body) < 1 + 64 * kind.itemsize:
        return None
    values = np.frombuffer(body, kind, count=64, offset=1)
    table = np.empty(64, dtype=np.int64)
    table[_ZIGZAG] = values
    return table.reshape(8, 8)
