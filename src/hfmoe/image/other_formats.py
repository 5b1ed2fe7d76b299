"""BMP, TGA and JPEG 2000 by Pillow, netpbm by numpy, JPEG XL: what libvips' wheel does not read."""

import re
from io import BufferedIOBase
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import pyvips

from hfmoe.image import jxl
from hfmoe.image.picture import ImageError

NAMES = {"bmp": "BMP", "tga": "TGA", "jp2": "JPEG 2000", "jxl": "JPEG XL", "pbm": "netpbm", "pnm": "netpbm"}
"""Kinds of files that are read here; pnm: gray or RGB in binary, the kind that numpy takes."""
SUFFIXES = (".bmp", ".dib", ".tga", ".jp2", ".j2k", ".jxl", ".pbm", ".pgm", ".ppm", ".pnm")
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)
_TGA_KINDS = (1, 2, 3, 9, 10, 11)
_TGA_END = b"TRUEVISION-XFILE.\0"
_JP2 = (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")
_SIZ_DEPTH = 40
"""Bytes of a JPEG 2000 codestream before the number of its components, behind which the depth stands."""
_MODES = {"1": "L", "L": "L", "LA": "LA", "P": "RGB", "PA": "RGBA", "RGB": "RGB", "RGBA": "RGBA"}
_MODES |= {"YCbCr": "RGB", "I;16": "I;16"}
_NETPBM = re.compile(rb"P([56])" + 3 * rb"(?:\s|#[^\n]*\n)+(\d{1,9})" + rb"\s")
_HEAD = 4096
_MOST_DPI = 1e6
"""Pixels per inch above which a resolution is taken for damage; libvips holds some 25 times as many."""


class _Header(NamedTuple):
    """Size and bands of a file, bytes of a sample, and what else it says."""

    width: int
    height: int
    bands: int
    deep: bool
    profile: bytes | None = None
    dpi: tuple[float, float] | None = None
    exif: bytes | None = None
    xmp: bytes | None = None


def kind_of(head: bytes, path: Path, file: IO[bytes] | BufferedIOBase) -> str | None:
    """Which kind of these a file is, by its first bytes; None where it is none."""
    if head[:2] == b"BM" and head[14:18] and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "bmp"
    if head.startswith(_JP2):
        return "jp2"
    if head.startswith((jxl.CODESTREAM, jxl.CONTAINER)):
        return "jxl"
    if re.match(rb"P[1-6][\s#]", head):
        return "pnm" if head[1:2] in b"56" else "pbm"
    plausible = len(head) > 18 and head[1] in (0, 1) and head[2] in _TGA_KINDS
    return "tga" if plausible and (path.suffix.lower() == ".tga" or _ends_as_tga(file)) else None


def _ends_as_tga(file: IO[bytes] | BufferedIOBase) -> bool:
    file.seek(-min(len(_TGA_END), file.seek(0, 2)), 2)
    return file.read() == _TGA_END


def describe(path: Path, kind: str) -> pyvips.Image:
    """An image of the size and kind of a file, without its pixels. Raises ImageError."""
    found = _HEADERS.get(kind, _pillow_header)(path, kind)
    return _dressed(pyvips.Image.black(found.width, found.height, bands=found.bands), found, kind)


def decode(path: Path, kind: str) -> pyvips.Image:
    """A file's image. Raises ImageError where it is damaged."""
    if kind == "pnm":
        found = _netpbm_header(path, kind)
        values = _netpbm_samples(path)
    elif kind == "jxl":
        values, *said = jxl.read_samples(path)
        height, width, bands = (*values.shape, 1)[:3]
        found = _Header(width, height, bands, False, said[0], exif=said[1], xmp=said[2])
    else:
        found = _pillow_header(path, kind)
        values = _pillow_samples(path)
    kind_of_samples = "ushort" if found.deep else "uchar"
    image = pyvips.Image.new_from_memory(
        np.ascontiguousarray(values).tobytes(), found.width, found.height, found.bands, kind_of_samples
    )
    return _dressed(image, found, kind)


def _dressed(image: pyvips.Image, found: _Header, kind: str) -> pyvips.Image:
    gray = found.bands < 3
    space: Any = ("grey16" if found.deep else "b-w") if gray else ("rgb16" if found.deep else "srgb")
    image = image.cast("ushort" if found.deep else "uchar").copy(interpretation=space)
    image.set_type(pyvips.GValue.gstr_type, "vips-loader", f"{kind}load")
    blobs = {"icc-profile-data": found.profile, "exif-data": found.exif, "xmp-data": found.xmp}
    for name, content in blobs.items():
        if content:
            value: Any = content
            image.set_type(pyvips.GValue.blob_type, name, value)
    if kind == "jxl":  # its header's turn is applied, and counts before those of EXIF and XMP
        image.set_type(pyvips.GValue.gint_type, "orientation", 1)
    if found.dpi and 0 < min(found.dpi) <= max(found.dpi) <= _MOST_DPI:
        image = image.copy(xres=found.dpi[0] / 25.4, yres=found.dpi[1] / 25.4)
    return image


def _pillow_header(path: Path, kind: str) -> _Header:
    with _opened(path, kind) as image:
        if kind == "jp2":
            _check_depth(path)
        if image.mode not in _MODES:
            raise ImageError(f"{path}: {NAMES[kind]} of the mode {image.mode}; gray and RGB are read")
        mode, said = _MODES[image.mode], image.info
        bands = 1 if mode == "I;16" else len(mode)
        dpi = said.get("dpi")
        sides = None if dpi is None else (float(dpi[0]), float(dpi[1]))
        return _Header(image.width, image.height, bands, mode == "I;16", said.get("icc_profile"), sides)


def _pillow_samples(path: Path) -> np.ndarray:
    with _opened(path, "") as image:
        try:
            image.load()
        except Exception as error:
            raise _damaged(path, error) from error
        return np.asarray(image if image.mode == "I;16" else image.convert(_MODES[image.mode]))


def _opened(path: Path, kind: str) -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        rule = "needs Pillow: pip install 'hf-moe-ir[formats]', or convert it"
        raise ImageError(f"{path}: {NAMES[kind]} {rule}") from error
    try:
        return Image.open(path, formats=("BMP", "DIB", "TGA", "JPEG2000", "PPM"))
    except Exception as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> ImageError:
    return ImageError(f"{path}: damaged or cut off ({' '.join(str(error).split())})")


def _check_depth(path: Path) -> None:
    """ImageError for colours of more than 8 bits, of which Pillow drops the rest."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    box, stream = head.find(b"ihdr"), head.find(_JP2[1])
    if box >= 0:
        components, depth = int.from_bytes(head[box + 12 : box + 14], "big"), head[box + 14 : box + 15]
    else:
        place = max(stream, 0) + _SIZ_DEPTH
        components, depth = int.from_bytes(head[place : place + 2], "big"), head[place + 2 : place + 3]
    bits = (depth[0] & 0x7F) + 1 if depth else 0
    if components > 2 and bits > 8:
        raise ImageError(f"{path}: JPEG 2000 of {bits} bits in colour, of which 8 would be read; convert it")


def _jxl_header(path: Path, kind: str) -> _Header:
    found = jxl.read_header(path)
    return _Header(found.width, found.height, found.bands, False)


def _netpbm_header(path: Path, kind: str) -> _Header:
    width, height, _, bands, top = _netpbm_numbers(path)
    return _Header(width, height, bands, top > 255)


def _netpbm_numbers(path: Path) -> tuple[int, int, int, int, int]:
    """Width, height, bytes of the header, bands, and the level of white."""
    with path.open("rb") as file:
        found = _NETPBM.match(file.read(_HEAD))
    if found is None:
        raise ImageError(f"{path}: damaged or cut off (no header of netpbm)")
    width, height, top = (int(each) for each in found.groups()[1:])
    if not (width and height and 0 < top < 2**16):
        raise ImageError(f"{path}: damaged ({width} x {height} pixels of levels to {top})")
    return width, height, found.end(), 1 if found[1] == b"5" else 3, top


def _netpbm_samples(path: Path) -> np.ndarray:
    width, height, head, bands, top = _netpbm_numbers(path)
    deep = top > 255
    due = width * height * bands * (1 + deep)
    size = path.stat().st_size - head
    if size < due:
        raise ImageError(f"{path}: damaged or cut off ({size} of {due} bytes)")
    if size >= due + 2:
        raise ImageError(f"{path}: more than one picture; single images are read")
    samples = np.fromfile(path, ">u2" if deep else "u1", count=width * height * bands, offset=head)
    white = 65535 if deep else 255
    if top != white:
        samples = np.minimum((samples.astype(np.uint64) * white * 2 + top) // (2 * top), white)
    return samples.astype(np.uint16 if deep else np.uint8).reshape(height, width, bands)


_HEADERS = {"jxl": _jxl_header, "pnm": _netpbm_header}
"""Readers of headers, where not Pillow."""
