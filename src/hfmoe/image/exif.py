"""EXIF between TIFF files, where it is spread over directories, and the one block that others hold."""

from io import BufferedIOBase, BytesIO
from pathlib import Path
from typing import NamedTuple

from hfmoe.image.tiff import (
    Field,
    Layout,
    extend_first_page,
    pack_directory,
    read_directory,
    read_field,
    read_header,
    reordered,
)

_MARK = b"Exif\0\0"
_CLASSIC = Layout("<", False)
_EXIF, _GPS = 0x8769, 0x8825
_DESCRIPTION = (0x10E, 0x10F, 0x110, 0x131, 0x132, 0x13B, 0x8298)
"""What the first directory says of a photo: title, make, model, software, date, artist, copyright."""
_WIDTH, _HEIGHT, _INTEROPERABILITY = 0xA002, 0xA003, 0xA005


class Exif(NamedTuple):
    """The fields that describe a photo, and those of the directories below; little-endian."""

    fields: dict[int, Field]
    below: dict[int, dict[int, Field]]


def exif_of_tiff(file: BufferedIOBase) -> bytes | None:
    """The EXIF of a TIFF file's first page as one block; None where there is none that can be read."""
    try:
        exif = _read(file)
    except (ValueError, OSError):
        return None
    return _pack(exif) if exif.fields or exif.below else None


def exif_into_tiff(path: Path | str, exif: bytes, *, width: int, height: int) -> None:
    """Add a block of EXIF to a TIFF file, its size set to width x height; what cannot be read is left out.

    Raises ValueError or OSError when the file is not a TIFF that can be written.
    """
    try:
        found = _read(BytesIO(exif.removeprefix(_MARK)))
    except ValueError:
        return
    below = dict(found.below)
    if _EXIF in below:
        size = {_WIDTH: width, _HEIGHT: height}
        below[_EXIF] |= {tag: Field(4, 1, value.to_bytes(4, "little")) for tag, value in size.items()}
    extend_first_page(str(path), found.fields, below)


def _read(file: BufferedIOBase) -> Exif:
    layout, offset = read_header(file)
    page = read_directory(file, layout, offset)
    fields = _fields(file, layout, {tag: page.entries[tag] for tag in _DESCRIPTION if tag in page.entries})
    below = {}
    for tag in (_EXIF, _GPS):
        pointer = read_field(file, layout, page.entries[tag]) if tag in page.entries else None
        if pointer is None:
            continue
        place = int.from_bytes(pointer.data, "little" if layout.order == "<" else "big")
        entries = read_directory(file, layout, place).entries
        entries.pop(_INTEROPERABILITY, None)
        below[tag] = _fields(file, layout, entries)
    return Exif(fields, {tag: children for tag, children in below.items() if children})


def _fields(file: BufferedIOBase, layout: Layout, entries: dict[int, bytes]) -> dict[int, Field]:
    """Those that a classic TIFF can hold, in little-endian order."""
    found = {tag: read_field(file, layout, entry) for tag, entry in entries.items()}
    return {
        tag: reordered(field, layout.order, "<")
        for tag, field in found.items()
        if field is not None and field.kind <= 13
    }


def _pack(exif: Exif) -> bytes:
    head = b"II*\0" + _CLASSIC.offset(8)
    below: dict[int, Field] = {}
    first = dict(exif.fields) | {tag: Field(4, 1, bytes(4)) for tag in exif.below}
    place = 8 + len(pack_directory(first, _CLASSIC, at=8))
    tail = b""
    for tag, children in exif.below.items():
        tail += b"\0" * (-(place + len(tail)) % 8)
        at = place + len(tail)
        below[tag] = Field(4, 1, _CLASSIC.offset(at))
        tail += pack_directory(children, _CLASSIC, at=at)
    return _MARK + head + pack_directory(exif.fields | below, _CLASSIC, at=8) + tail
