"""The directories of a TIFF file: tagged fields, read from and written to files of any size.

Classic and BigTIFF, both byte orders; EXIF is such a file too. libvips writes no EXIF into TIFF and
reads none from it, so this does. Source: TIFF Revision 6.0, 1992; BigTIFF, 2007.
"""

import os
import struct
import sys
from io import BufferedIOBase
from typing import Any, NamedTuple

import numpy as np

SUBFILE_TYPE, BITS_PER_SAMPLE, COMPRESSION, PHOTOMETRIC, SAMPLES_PER_PIXEL = 254, 258, 259, 262, 277
ORIENTATION, SUB_DIRECTORIES, EXTRA_SAMPLES, DNG_VERSION = 274, 330, 338, 50706
REDUCED = 1
"""Bit of SUBFILE_TYPE: a smaller copy of another page."""
OLD_JPEG, JPEG = 6, 7
"""Compressions."""
RGB, YCBCR, CIELAB, ICCLAB = 2, 6, 8, 9
"""Photometric interpretations; as are the mosaic of a sensor, and its samples before development."""
MOSAIC = (32803, 34892)
ASSOCIATED_ALPHA, UNASSOCIATED_ALPHA = 1, 2
"""Kinds of extra samples."""

_SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
_WORDS = {3: 2, 4: 4, 5: 4, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_MOST_FIELDS, _MOST_PAGES, _MOST_BYTES = 4096, 65536, 2**16


HEAD = 16
"""Bytes before the first sample."""
STRIP = 16
"""Rows of a strip."""

_SHORT, _LONG8 = 3, 16
_MOST_BELOW = 16
"""Directories below a page that are looked into."""


class Field(NamedTuple):
    """A value as it is stored: its TIFF type, the number of items, and their bytes."""

    kind: int
    count: int
    data: bytes


class Layout(NamedTuple):
    """Byte order ("<" or ">") of a file, and whether its offsets have 64 bits."""

    order: str
    big: bool

    @property
    def word(self) -> int:
        """Bytes of an offset, and of a value that needs no offset."""
        return 8 if self.big else 4

    def offset(self, value: int) -> bytes:
        """An offset as the file stores it."""
        return struct.pack(self.order + ("Q" if self.big else "I"), value)


class Directory(NamedTuple):
    """The raw entries of a page by tag, each 12 (or 20) bytes, and the offset of the next page (0: none)."""

    entries: dict[int, bytes]
    following: int


def read_header(file: BufferedIOBase) -> tuple[Layout, int]:
    """Layout and offset of the first directory. Raises ValueError when it is no TIFF header."""
    file.seek(0)
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 8:
        raise ValueError(f"{head[:4]!r} begins no TIFF")
    layout = Layout(order, struct.unpack(order + "H", head[2:4])[0] == 43)
    return layout, _unpack(layout, "offset", head[8:16] if layout.big else head[4:8])


def read_directory(file: BufferedIOBase, layout: Layout, offset: int) -> Directory:
    """The directory at offset. Raises ValueError when it lies outside the file or holds too much."""
    _go(file, offset)
    count = _unpack(layout, "count", file.read(8 if layout.big else 2))
    if count > _MOST_FIELDS:
        raise ValueError(f"{count} fields are more than {_MOST_FIELDS}")
    size = 20 if layout.big else 12
    raw = file.read(count * size)
    if len(raw) < count * size:
        raise ValueError("a directory is cut off")
    entries = [raw[start : start + size] for start in range(0, len(raw), size)]
    following = file.read(layout.word)
    tagged = {struct.unpack(layout.order + "H", entry[:2])[0]: entry for entry in entries}
    return Directory(tagged, _unpack(layout, "offset", following) if len(following) == layout.word else 0)


def read_field(file: BufferedIOBase, layout: Layout, entry: bytes) -> Field | None:
    """The value of a raw entry; None for an unknown type, or more than 64 KiB. ValueError: cut off."""
    kind = struct.unpack(layout.order + "H", entry[2:4])[0]
    count = _unpack(layout, "offset", entry[4 : 4 + layout.word])
    size = _SIZES.get(kind, 0) * count
    if not 0 < size <= _MOST_BYTES:
        return None
    value = entry[-layout.word :]
    if size > layout.word:
        _go(file, _unpack(layout, "offset", value))
        value = file.read(size)
    if len(value) < size:
        raise ValueError("a value is cut off")
    return Field(kind, count, value[:size])


def number(field: Field | None, layout: Layout) -> int:
    """The first item of an integer field; 0 of any other, or of none."""
    return next(iter(numbers(field, layout)), 0)


def numbers(field: Field | None, layout: Layout) -> tuple[int, ...]:
    """The items of an integer field; none of any other."""
    code = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}.get(field.kind) if field else None
    return struct.unpack(f"{layout.order}{field.count}{code}", field.data) if field and code else ()


class PageFacts(NamedTuple):
    """Facts about a page's samples from its directory; extra: the kind of each that is no colour.

    raw: it belongs to a camera's file before development, of which it is a preview, or the mosaic itself.
    oriented: it says which way is up.
    """

    bits: int
    photometric: int
    compression: int
    samples: int
    extra: tuple[int, ...]
    raw: bool
    oriented: bool


def page_facts(file: BufferedIOBase, page: int = 0) -> PageFacts:
    """Facts about a page. Raises ValueError for damage, and where there is no such page."""
    layout, offset = _find_page(file, page)
    entries = read_directory(file, layout, offset).entries
    tags = (BITS_PER_SAMPLE, PHOTOMETRIC, COMPRESSION, SAMPLES_PER_PIXEL)
    bits, photometric, compression, samples = (
        number(_of(file, layout, entries, tag), layout) for tag in tags
    )
    extra = numbers(_of(file, layout, entries, EXTRA_SAMPLES), layout)
    below = numbers(_of(file, layout, entries, SUB_DIRECTORIES), layout)[:_MOST_BELOW]
    raw = DNG_VERSION in entries or photometric in MOSAIC or any(_is_mosaic(file, layout, at) for at in below)
    preview = number(_of(file, layout, entries, SUBFILE_TYPE), layout) & REDUCED and bool(below)
    return PageFacts(
        bits, photometric, compression, samples or 1, extra, bool(raw or preview), ORIENTATION in entries
    )


def _find_page(file: BufferedIOBase, page: int) -> tuple[Layout, int]:
    """Layout of a file and offset of a page's directory. Raises ValueError where there is no such page."""
    layout, offset = read_header(file)
    for _ in range(page):
        offset = read_directory(file, layout, offset).following
        if not offset:
            raise ValueError(f"it has no page {page}")
    return layout, offset


def with_plain_samples(file: BufferedIOBase, page: int) -> bytes:
    """The bytes of a file with a page said to be RGB: decoders then give its samples as they are stored."""
    layout, offset = _find_page(file, page)
    entry = read_directory(file, layout, offset).entries[PHOTOMETRIC]
    file.seek(0)
    content = file.read()
    place = content.index(entry, offset) + len(entry) - layout.word
    return content[:place] + struct.pack(layout.order + "H", RGB) + content[place + 2 :]


def _of(file: BufferedIOBase, layout: Layout, entries: dict[int, bytes], tag: int) -> Field | None:
    return read_field(file, layout, entries[tag]) if tag in entries else None


def _is_mosaic(file: BufferedIOBase, layout: Layout, offset: int) -> bool:
    entries = read_directory(file, layout, offset).entries
    return number(_of(file, layout, entries, PHOTOMETRIC), layout) in MOSAIC


def full_pages(file: BufferedIOBase) -> list[int]:
    """Numbers of the first page and of all that are no reduced copies of others.

    Raises ValueError for damage and for a loop of pages.
    """
    layout, offset = read_header(file)
    seen: set[int] = set()
    full: list[int] = []
    while offset:
        if offset in seen or len(seen) > _MOST_PAGES:
            raise ValueError("its pages have no end")
        seen.add(offset)
        page = read_directory(file, layout, offset)
        entry = page.entries.get(SUBFILE_TYPE)
        reduced = entry is not None and number(read_field(file, layout, entry), layout) & REDUCED
        if not (reduced and full):
            full.append(len(seen) - 1)
        offset = page.following
    return full


def pack_directory(
    fields: dict[int, Field],
    layout: Layout,
    *,
    at: int,
    kept: dict[int, bytes] | None = None,
    following: int = 0,
) -> bytes:
    """A directory to be stored at offset `at`, its longer values behind it; `kept` are raw entries."""
    raw = dict(kept or {})
    size, head = (20, 8) if layout.big else (12, 2)
    count = len(raw.keys() | fields.keys())
    place = at + head + count * size + layout.word
    values = b""
    for tag, field in fields.items():
        stored = field.data.ljust(layout.word, b"\0")
        if len(stored) > layout.word:
            values += b"\0" * (-len(values) % 8)
            stored, values = layout.offset(place + len(values)), values + field.data
        raw[tag] = struct.pack(layout.order + "HH", tag, field.kind) + layout.offset(field.count) + stored
    number_of = struct.pack(layout.order + ("Q" if layout.big else "H"), count)
    entries = b"".join(raw[tag] for tag in sorted(raw))
    return number_of + entries + layout.offset(following) + values


def extend_first_page(path: str, fields: dict[int, Field], subfields: dict[int, dict[int, Field]]) -> None:
    """Add fields, and directories of fields that a tag points to, to the first page of a file.

    The bytes of both are little-endian, as `reordered` makes them. Raises ValueError or OSError.
    """
    with open(path, "r+b") as file:  # noqa: PTH123
        layout, first = read_header(file)
        page = read_directory(file, layout, first)
        added = {tag: reordered(field, "<", layout.order) for tag, field in fields.items()}
        for tag, children in subfields.items():
            ordered = {child: reordered(field, "<", layout.order) for child, field in children.items()}
            at = _end(file)
            file.write(pack_directory(ordered, layout, at=at))
            added[tag] = Field(18 if layout.big else 4, 1, layout.offset(at))
        at = _end(file)
        file.write(pack_directory(added, layout, at=at, kept=page.entries, following=page.following))
        file.seek(8 if layout.big else 4)
        file.write(layout.offset(at))


def reordered(field: Field, order: str, wanted: str) -> Field:
    """The field with the bytes of each item in another order."""
    word = _WORDS.get(field.kind, 1)
    if order == wanted or word == 1:
        return field
    words = np.frombuffer(field.data, dtype=np.uint8).reshape(-1, word)
    return field._replace(data=words[:, ::-1].tobytes())


def _go(file: BufferedIOBase, offset: int) -> None:
    if offset >= 2**63:
        raise ValueError(f"the offset {offset} lies outside the file")
    try:
        file.seek(offset)
    except OSError as error:
        raise ValueError(f"the offset {offset} lies outside the file") from error


def _end(file: BufferedIOBase) -> int:
    """Go to the end of a file, at a multiple of 8 bytes."""
    end = file.seek(0, os.SEEK_END)
    file.write(b"\0" * (-end % 8))
    return file.tell()


def _unpack(layout: Layout, what: str, raw: bytes) -> int:
    code = {"offset": "QI", "count": "QH"}[what][0 if layout.big else 1]
    try:
        return struct.unpack(layout.order + code, raw)[0]
    except struct.error as error:
        raise ValueError("the file is cut off") from error


def wrap_samples(
    file: BufferedIOBase | Any, *, height: int, width: int, bands: int, sample: int, alpha: bool, real: bool
) -> None:
    """Make a BigTIFF of a file that holds HEAD bytes and then samples, row by row, in this machine's order.

    sample: bytes of each; alpha: the last band is one; real: samples are floats. Raises OSError.
    """
    layout = Layout("<" if sys.byteorder == "little" else ">", True)

    def field(kind: int, values: list[int]) -> Field:
        code = {_SHORT: "H", _LONG8: "Q"}[kind]
        return Field(kind, len(values), struct.pack(f"{layout.order}{len(values)}{code}", *values))

    row = width * bands * sample
    end = HEAD + height * row
    starts = range(0, height, STRIP)
    fields = {
        256: field(_LONG8, [width]),
        257: field(_LONG8, [height]),
        BITS_PER_SAMPLE: field(_SHORT, [8 * sample] * bands),
        COMPRESSION: field(_SHORT, [1]),
        PHOTOMETRIC: field(_SHORT, [2 if bands > 2 else 1]),
        273: field(_LONG8, [HEAD + start * row for start in starts]),
        SAMPLES_PER_PIXEL: field(_SHORT, [bands]),
        278: field(_LONG8, [STRIP]),
        279: field(_LONG8, [min(STRIP, height - start) * row for start in starts]),
        284: field(_SHORT, [1]),
        339: field(_SHORT, [3 if real else 1] * bands),
    }
    if alpha:
        fields[EXTRA_SAMPLES] = field(_SHORT, [UNASSOCIATED_ALPHA])
    file.truncate(end)
    file.seek(end)
    file.write(pack_directory(fields, layout, at=end))
    file.seek(0)
    mark = b"II" if layout.order == "<" else b"MM"
    file.write(mark + struct.pack(layout.order + "HHHQ", 43, 8, 0, end))
