"""Profile, EXIF, XMP, IPTC and resolution between libvips' images and pictures.

TIFF files spread EXIF over directories, which libvips neither reads nor writes; others hold it as one block.
"""

import re
from contextlib import suppress
from io import BufferedIOBase, BytesIO
from itertools import count, takewhile
from pathlib import Path
from typing import Any, NamedTuple

import pyvips

from hfmoe.image.picture import Metadata, Picture
from hfmoe.image.tiff import (
    ORIENTATION,
    Field,
    Layout,
    extend_first_page,
    number,
    pack_directory,
    read_directory,
    read_field,
    read_header,
    reordered,
)

SCREEN = 72 / 25.4
"""Pixels per mm that files of unknown resolution are given, for most formats must name one."""

_UNKNOWN = 1.0
_BLOBS = {"exif": "exif-data", "xmp": "xmp-data", "iptc": "iptc-data"}
_PROFILE = "icc-profile-data"
_SPACES = {1: b"GRAY", 3: b"RGB ", 4: b"CMYK"}
_ORIENTATION = re.compile(rb"(tiff:Orientation(?:\s*=\s*[\"']|>)\s*)([2-8])(?=\s*[\"'<])")
_GAIN_MAP = re.compile(
    rb"""\s+hdrgm:\w+\s*=\s*(?:"[^"]*"|'[^']*')|<(hdrgm:\w+|Container:Directory)\b[^>]*?(?:/>|>.*?</\1>)""",
    re.DOTALL,
)
"""Statements of XMP about a second picture by which displays brighten the first (Ultra HDR)."""
EXIF_MARK = b"Exif\0\0"
_CLASSIC = Layout("<", False)
_EXIF, _GPS = 0x8769, 0x8825
_DESCRIPTION = (0x10E, 0x10F, 0x110, 0x131, 0x132, 0x13B, 0x8298)
"""Tags that describe a photo: title, make, model, software, date, artist, copyright."""
_SOFTWARE = 0x131
_WIDTH, _HEIGHT, _INTEROPERABILITY = 0xA002, 0xA003, 0xA005


def read_metadata(image: pyvips.Image) -> Metadata:
    """Metadata of an image beside its pixels and profile."""
    exif, xmp, iptc = (_blob(image, name) for name in _BLOBS.values())
    resolution = (image.xres, image.yres)
    known = min(resolution) > 0 and resolution != (_UNKNOWN, _UNKNOWN)
    return Metadata(exif or None, xmp or None, iptc or None, resolution if known else None)


def read_profile(image: pyvips.Image) -> bytes | None:
    """The ICC profile, whatever it is."""
    return _blob(image, _PROFILE)


def profile_fault(profile: bytes, *, colours: int) -> str | None:
    """Reason why a profile does not fit an image of so many colours; None when it does."""
    if len(profile) < 128 or profile[36:40] != b"acsp":
        return "is damaged"
    if int.from_bytes(profile[:4], "big") > len(profile):
        return "is cut off"
    if profile[16:20] != _SPACES[colours]:
        return f"is for {profile[16:20]!r}, not for {_SPACES[colours].decode().strip()} colours"
    return None


def field_names(image: pyvips.Image) -> list[str]:
    """Names of an image's fields without those that are no UTF-8, at which pyvips' own list fails."""
    names: Any = pyvips.vips_lib.vips_image_get_fields(image.pointer)
    found = []
    for name in takewhile(lambda name: name != pyvips.ffi.NULL, (names[place] for place in count())):
        content: Any = pyvips.ffi.string(name)
        with suppress(UnicodeDecodeError):
            found.append(content.decode())
        pyvips.glib_lib.g_free(name)
    pyvips.glib_lib.g_free(names)
    return found


def attach(image: pyvips.Image, picture: Picture) -> pyvips.Image:
    """The image with profile and metadata of a picture; orientation is upright, as the pixels are."""
    said = picture.metadata
    across, down = said.resolution or (SCREEN, SCREEN)
    image = image.copy(xres=across, yres=down)
    blobs = {_BLOBS["exif"]: said.exif, _BLOBS["xmp"]: upright_xmp(said.xmp), _BLOBS["iptc"]: said.iptc}
    for name, content in (blobs | {_PROFILE: picture.icc}).items():
        if content:
            value: Any = content
            image.set_type(pyvips.GValue.blob_type, name, value)
    if said.exif:
        image.set_type(pyvips.GValue.gint_type, "orientation", 1)
    if said.software:
        image.set_type(pyvips.GValue.gstr_type, "exif-ifd0-Software", said.software)
    return image


def upright_xmp(xmp: bytes | None) -> bytes | None:
    """The packet with its orientation, where it names one, set to upright."""
    return None if xmp is None else _ORIENTATION.sub(rb"\g<1>1", xmp)


def turn_of_xmp(xmp: bytes) -> int | None:
    """The orientation that a packet names, as EXIF numbers them; None where it is upright or not named."""
    named = _ORIENTATION.search(xmp)
    return int(named[2]) if named else None


def turn_of_exif(exif: bytes) -> int | None:
    """The orientation that a block of EXIF names; None where it names none or cannot be read."""
    file = BytesIO(exif.removeprefix(EXIF_MARK))
    try:
        layout, first = read_header(file)
        entry = read_directory(file, layout, first).entries.get(ORIENTATION)
        turn = number(read_field(file, layout, entry), layout) if entry else 0
    except ValueError:
        return None
    return turn if 1 <= turn <= 8 else None


def software_of_exif(exif: bytes) -> str | None:
    """The program that a block of EXIF names; None where it names none or cannot be read."""
    try:
        field = _read(BytesIO(exif.removeprefix(EXIF_MARK))).fields.get(_SOFTWARE)
    except ValueError:
        return None
    return None if field is None else field.data.rstrip(b"\0").decode("ascii", "replace")


def without_gain_map(xmp: bytes | None) -> bytes | None:
    """The packet without what it says of a gain map, which decoders leave out."""
    return None if xmp is None else _GAIN_MAP.sub(b"", xmp)


def _blob(image: pyvips.Image, name: str) -> bytes | None:
    content: Any = image.get(name) if image.get_typeof(name) else None
    return None if content is None else bytes(content)


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


def exif_into_tiff(path: Path | str, said: Metadata, *, width: int, height: int) -> None:
    """Add EXIF to a TIFF file, its size set to width x height; what cannot be read is left out.

    Raises ValueError or OSError when the file is not a TIFF that can be written.
    """
    found = Exif({}, {})
    with suppress(ValueError):
        found = _read(BytesIO((said.exif or b"").removeprefix(EXIF_MARK)))
    if said.software:
        text = said.software.encode("ascii", "replace") + b"\0"
        found.fields[_SOFTWARE] = Field(2, len(text), text)
    if not (found.fields or found.below):
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
    return EXIF_MARK + head + pack_directory(exif.fields | below, _CLASSIC, at=8) + tail
