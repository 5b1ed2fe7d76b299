"""Which kind of file it is by its first bytes, and what a decoder would pass over in silence."""

import struct
from io import BufferedIOBase
from pathlib import Path
from typing import IO

from hfmoe.image.other_formats import NAMES, kind_of
from hfmoe.image.picture import ImageError, PagesError
from hfmoe.image.tiff import CIELAB, ICCLAB, OLD_JPEG, PageFacts, full_pages, page_facts

READABLE = "PNG, JPEG, WebP, TIFF or AVIF"

_PNG = b"\x89PNG\r\n\x1a\n"
_SIGNATURES = {
    "png": (_PNG,),
    "jpeg": (b"\xff\xd8\xff",),
    "tiff": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
}
_PAGED = "a GIF"
_FOREIGN = {
    _PAGED: (b"GIF8",),
    "a PDF": (b"%PDF",),
    "a PSD": (b"8BPS",),
    "a QOI": (b"qoif",),
    "a DDS": (b"DDS ",),
    "an icon": (b"\0\0\1\0",),
    "a Radiance HDR": (b"#?RADIANCE",),
    "a netpbm of a kind that is not read": (b"P7\n",),
    "an OpenEXR": (b"\x76\x2f\x31\x01",),
    "an SVG or XML": (b"<svg", b"<?xml"),
}
_NO_PICTURES = ("a PDF", "an SVG or XML")
_HEIF = {b"avif", b"heic", b"heix", b"mif1", b"miaf", b"avis", b"msf1", b"hevc", b"hevx"}
_MOVING = {b"avis", b"msf1"}
_CANON = b"CR"
"""Behind a TIFF header: Canon's raws."""
_RAW = "a camera raw, of which only a preview would be read; develop it to TIFF, PNG or JPEG first"
_OTHER_RAWS = (b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FUJIFILMCCD-RAW", b"FOVb", b"\0MRM")
"""Of Olympus, Panasonic, Fujifilm, Sigma and Minolta."""
_IMAGE, _EXTENSION, _TRAILER = 0x2C, 0x21, 0x3B
"""Kinds of a GIF's blocks."""


def sniff(path: Path, *, pages: bool = False) -> str:
    """The libvips loader of a file: png, jpeg, webp, tiff or heif, with pages also gif; or another format's.

    Raises ImageError for other files, for animations and several pages (whose first picture decoders
    would give without a word), and for samples that no decoder takes; OSError when it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(64)
        kind = "gif" if pages and head.startswith(b"GIF8") else kind_of(head, path, file)
        kind = kind or _kind(path, head)
        if kind == "png":
            _check_png(path, file)
        if kind == "tiff":
            _check_tiff(path, file, head, pages=pages)
    if kind == "heif" and _brands(head) & _MOVING:
        raise ImageError(f"{path}: animated; single images are read")
    return kind


def content_of(path: Path) -> str | None:
    """Kind of image that a file is by its content, such as "a PSD", whatever its name; None for no image."""
    try:
        with path.open("rb") as file:
            return content_of_stream(file, path)
    except OSError:
        return None


def content_of_stream(file: IO[bytes] | BufferedIOBase, path: Path) -> str | None:
    """As `content_of`, for a file that is open; path: its name."""
    head = file.read(64)
    kind = kind_of(head, path, file)
    if kind is not None:
        return f"a {NAMES[kind]}"
    known = [(f"a {kind.upper()}", signatures) for kind, signatures in _SIGNATURES.items()]
    foreign = [(name, signatures) for name, signatures in _FOREIGN.items() if name not in _NO_PICTURES]
    for name, signatures in (*known, *foreign, ("a camera raw", _OTHER_RAWS), ("an SVG", (b"<svg",))):
        if head.startswith(signatures):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a WebP"
    if b"crx " in _brands(head):
        return "a camera raw"
    return "an AVIF or HEIC" if _brands(head) & _HEIF else None


def _kind(path: Path, head: bytes) -> str:
    for kind, signatures in _SIGNATURES.items():
        if head.startswith(signatures):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if _brands(head) & _HEIF:
        return "heif"
    if head.startswith(_OTHER_RAWS) or b"crx " in _brands(head):
        raise ImageError(f"{path}: {_RAW}")
    for name, signatures in _FOREIGN.items():
        if head.startswith(signatures):
            kind = PagesError if name == _PAGED else ImageError
            raise kind(f"{path}: {name} file; {READABLE} is read")
    raise ImageError(f"{path}: cut off, or not a {READABLE} image")


def _brands(head: bytes) -> set[bytes]:
    """The brands of an ISO media file."""
    if head[4:8] != b"ftyp":
        return set()
    size = min(int.from_bytes(head[:4], "big"), len(head))
    return {head[8:12]} | {head[start : start + 4] for start in range(16, size - 3, 4)}


def _check_png(path: Path, file: BufferedIOBase) -> None:
    """Refuse an animation: its number of frames stands before the first image data."""
    file.seek(len(_PNG))
    while len(head := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", head)
        if name == b"IDAT":
            return
        if name == b"acTL":
            frames = int.from_bytes(file.read(4), "big")
            if frames > 1:
                raise ImageError(f"{path}: animated, of {frames} frames; single images are read")
            return
        file.seek(length + 4, 1)


def _check_tiff(path: Path, file: BufferedIOBase, head: bytes, *, pages: bool) -> None:
    """Refuse several pages, unless they are smaller copies of the first, and what libvips reads wrongly."""
    try:
        page, count = page_facts(file), len(full_pages(file))
    except ValueError as error:
        raise ImageError(f"{path}: damaged or cut off ({error})") from error
    if page.raw or head[8:10] == _CANON:
        raise ImageError(f"{path}: {_RAW}")
    if count > 1 and not pages:
        raise PagesError(f"{path}: of {count} pages; single images are read")
    if fault := _unreadable(page):
        raise ImageError(f"{path}: {fault}")


def _unreadable(page: PageFacts) -> str | None:
    """Why libvips cannot take a page's samples, or would make other colours of them without a word."""
    if page.bits > 32:
        return f"samples of {page.bits} bits; integers of 8 or 16 and floats of 32 are read"
    if page.photometric in (CIELAB, ICCLAB) and page.samples < 3:
        return "Lab of less than three samples"
    if page.compression == OLD_JPEG:
        return "TIFF with old-style JPEG (compression 6), which no current decoder takes; convert it first"
    return None


def count_frames(file: BufferedIOBase) -> int:
    """Frames of a GIF file, by its blocks, for decoders pass over a file that is cut off without a word.

    Raises ValueError when it is cut off or holds other blocks. Source: Graphics Interchange Format 89a, 1990.
    """
    file.seek(0)
    _skip_colours(file, _take(file, 13)[10])
    frames = 0
    while (kind := _take(file, 1)[0]) != _TRAILER:
        if kind == _IMAGE:
            frames += 1
            _skip_colours(file, _take(file, 9)[8])
            _take(file, 1)
        elif kind == _EXTENSION:
            _take(file, 1)
        else:
            raise ValueError(f"a block of the unknown kind {kind}")
        while size := _take(file, 1)[0]:
            _take(file, size)
    return frames


def _skip_colours(file: BufferedIOBase, flags: int) -> None:
    """Pass over a table of colours, where the flags before it say that there is one."""
    if flags & 0x80:
        _take(file, 3 * 2 ** ((flags & 7) + 1))


def _take(file: BufferedIOBase, count: int) -> bytes:
    content = file.read(count)
    if len(content) < count:
        raise ValueError("the file is cut off")
    return content
