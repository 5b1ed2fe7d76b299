"""Image files: reading, writing and listing them. The whole of libvips stays behind this door."""

import os
from pathlib import Path

from hfmoe.image.picture import Bits, ImageError, Metadata, Picture, flatten, strip
from hfmoe.image.reading import MAX_PIXELS, read_8bit, read_arrays, read_gray8, read_picture, read_rgb8
from hfmoe.image.writing import FORMATS, PAGED, QUALITY, check_writable, write_picture

IMAGE_SUFFIXES = tuple(suffix for suffix in FORMATS if suffix != ".gif")
"""Suffixes of single pictures, in and out."""
LISTED_SUFFIXES = (*IMAGE_SUFFIXES, ".jfif", ".jpe")
"""Suffixes that folders of photos to learn or score from are searched for: what every libvips reads."""
READ_SUFFIXES = (*LISTED_SUFFIXES, ".heic", ".heif")
"""Suffixes of pictures to be restored or looked at; one that libvips cannot read is a named failure."""
PAGED_SUFFIXES = tuple(suffix for suffix, form in FORMATS.items() if form.name in PAGED)
"""Suffixes of files that can hold several pages."""

__all__ = [
    "IMAGE_SUFFIXES",
    "LISTED_SUFFIXES",
    "MAX_PIXELS",
    "PAGED_SUFFIXES",
    "QUALITY",
    "READ_SUFFIXES",
    "Bits",
    "ImageError",
    "Metadata",
    "Picture",
    "check_writable",
    "flatten",
    "list_images",
    "printable",
    "read_8bit",
    "read_arrays",
    "read_gray8",
    "read_picture",
    "read_rgb8",
    "strip",
    "write_picture",
]


def list_images(folder: Path | str, *, recursive: bool = False) -> list[Path]:
    """The files of a folder with an image's suffix, sorted by path; hidden ones are left out.

    Raises ImageError when the folder is missing or not a folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ImageError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}")
    found = folder.rglob("*") if recursive else folder.iterdir()
    return sorted(path for path in found if _is_image(path, folder))


def printable(name: Path | str) -> str:
    """A name as text that every file and terminal takes: bytes that are none of UTF-8 as backslashes."""
    return os.fsencode(name).decode(errors="backslashreplace")


def _is_image(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return not hidden and path.suffix.lower() in LISTED_SUFFIXES and path.is_file()
