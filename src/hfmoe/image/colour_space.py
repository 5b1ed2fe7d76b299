"""Colour spaces that a file states without an ICC profile, and profiles made for them.

PNG says them in chunks, AVIF and HEIC in a box of code points, cameras in EXIF; libvips shows none of these.
Sources: PNG, third edition, 2025; ITU-T H.273, 2021; ICC.1:2022; Lindbloom's Bradford adaptation.
"""

import struct
from collections.abc import Iterator
from io import BufferedIOBase
from typing import NamedTuple

import numpy as np

Chromaticities = tuple[float, float, float, float, float, float, float, float]
"""x and y of red, green, blue and white."""

_D65, _C = (0.3127, 0.3290), (0.310, 0.316)
_SRGB: Chromaticities = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, *_D65)
_PRIMARIES: dict[int, Chromaticities] = {
    1: _SRGB,
    4: (0.67, 0.33, 0.21, 0.71, 0.14, 0.08, *_C),
    5: (0.64, 0.33, 0.29, 0.60, 0.15, 0.06, *_D65),
    6: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *_D65),
    7: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *_D65),
    8: (0.681, 0.319, 0.243, 0.692, 0.145, 0.049, *_C),
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *_D65),
    11: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.314, 0.351),
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *_D65),
    22: (0.630, 0.340, 0.295, 0.605, 0.155, 0.077, *_D65),
}
_ADOBE: Chromaticities = (0.64, 0.33, 0.21, 0.71, 0.15, 0.06, *_D65)
_ADOBE_GAMMA = 563 / 256
_UNSPECIFIED = (0, 2, 3)
_GAMMAS: dict[int, float | None] = dict.fromkeys((1, 6, 7, 13, 14, 15)) | {4: 2.2, 5: 2.8, 8: 1.0}
"""Exponents of transfer characteristics; None: sRGB's curve, as viewers show those of video, too."""
_HDR = {16: "PQ", 18: "HLG"}
_CLOSE = 0.002
"""Difference between chromaticities that are called by one name."""
_USUAL_GAMMA, _TOLERANCE = 0.45455, 0.05
"""gAMA of PNG files in sRGB, and the tolerance within which it means the same (libpng's threshold)."""
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_D50 = np.array([0.96420, 1.0, 0.82491])
_PNG_HEADER = 8
_MOST_BYTES = 2**16
_BOXES = (b"meta", b"iprp", b"ipco")
"""Boxes of an ISO media file that hold each other, the last of them what is said of pictures."""


class ColourSpace(NamedTuple):
    """Chromaticities, and the exponent from stored values to light; gamma None: sRGB's curve."""

    chromaticities: Chromaticities = _SRGB
    gamma: float | None = None

    @property
    def is_srgb(self) -> bool:
        """True for the space of files without any statement."""
        pairs = zip(self.chromaticities, _SRGB, strict=True)
        return self.gamma is None and all(abs(a - b) <= _CLOSE for a, b in pairs)


ADOBE_RGB = ColourSpace(_ADOBE, _ADOBE_GAMMA)


def space_of_codes(primaries: int, transfer: int) -> ColourSpace:
    """The space of H.273's code points. Raises ValueError for HDR and for codes without a meaning here."""
    if transfer in _HDR:
        name = _HDR[transfer]
        raise ValueError(f"HDR ({name}), which is not tone-mapped here; convert it to SDR first")
    if primaries not in _PRIMARIES and primaries not in _UNSPECIFIED:
        raise ValueError(f"colour primaries of the code {primaries}, which are not known")
    if transfer not in _GAMMAS and transfer not in _UNSPECIFIED:
        raise ValueError(f"a transfer curve of the code {transfer}, which is not known")
    return ColourSpace(_PRIMARIES.get(primaries, _SRGB), _GAMMAS.get(transfer))


def space_of_png(file: BufferedIOBase) -> ColourSpace | None:
    """The space that chunks of a PNG state; None where none do or an ICC profile does.

    Of several, cICP counts before a profile, sRGB, and gAMA with cHRM. Raises ValueError as `space_of_codes`.
    """
    chunks = dict(_png_chunks(file))
    if len(codes := chunks.get(b"cICP", b"")) == 4:
        if codes[3] != 1:
            raise ValueError("narrow-range samples (cICP), which are not converted")
        return space_of_codes(codes[0], codes[1])
    if b"iCCP" in chunks or b"sRGB" in chunks:
        return None
    space = ColourSpace()
    if len(corners := chunks.get(b"cHRM", b"")) == 32:
        wx, wy, rx, ry, gx, gy, bx, by = (value / 1e5 for value in struct.unpack(">8I", corners))
        space = ColourSpace((rx, ry, gx, gy, bx, by, wx, wy))
    if len(gamma := chunks.get(b"gAMA", b"")) == 4 and (said := int.from_bytes(gamma, "big") / 1e5):
        usual = abs(said / _USUAL_GAMMA - 1) <= _TOLERANCE
        space = space._replace(gamma=None if usual else 1 / said)
    return space


def _png_chunks(file: BufferedIOBase) -> Iterator[tuple[bytes, bytes]]:
    """Names and contents of the short chunks before the image data."""
    file.seek(_PNG_HEADER)
    while len(head := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", head)
        if name == b"IDAT":
            return
        if length <= _MOST_BYTES:
            yield name, file.read(length)
            file.seek(4, 1)
        else:
            yield name, b""
            file.seek(length + 4, 1)


def heif_properties(file: BufferedIOBase) -> list[tuple[bytes, bytes]]:
    """Properties of the pictures in an AVIF or HEIC file: names of boxes and their first bytes."""
    file.seek(0, 2)
    start, stop = 0, file.tell()
    for wanted in _BOXES:
        place = next(((a, b) for name, a, b in boxes(file, start, stop) if name == wanted), None)
        if place is None:
            return []
        start, stop = place[0] + (4 if wanted == b"meta" else 0), place[1]
    found = []
    for name, first, last in boxes(file, start, stop):
        file.seek(first)
        found.append((name, file.read(min(last - first, 16))))
    return found


def boxes(file: BufferedIOBase, start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """Names and contents' first and last offsets of the boxes in a range."""
    while start + 8 <= stop:
        file.seek(start)
        length, name = struct.unpack(">I4s", file.read(8))
        head = 8
        if length == 1:
            length, head = int.from_bytes(file.read(8), "big"), 16
        length = length or stop - start
        if length < head or start + length > stop:
            return
        yield name, start + head, start + length
        start += length


def space_of_heif(properties: list[tuple[bytes, bytes]]) -> ColourSpace | None:
    """The space of the first code points among them. Raises ValueError as `space_of_codes`."""
    for name, content in properties:
        if name == b"colr" and content[:4] == b"nclx" and len(content) >= 8:
            return space_of_codes(*struct.unpack(">HH", content[4:8]))
    return None


def make_profile(space: ColourSpace, *, colours: int) -> bytes:
    """An ICC profile of a colour space for gray or RGB. ValueError: chromaticities of no colours."""
    curve = _curve(space.gamma)
    parts = {b"desc": _text(_name_of(space)), b"cprt": _text("CC0"), b"wtpt": _points(_D50)}
    if colours == 1:
        parts[b"kTRC"] = curve
    else:
        matrix, adaptation = _matrices(space.chromaticities)
        parts[b"chad"] = b"sf32" + bytes(4) + _fixed(adaptation)
        for index, name in enumerate("rgb"):
            parts[f"{name}XYZ".encode()] = _points(matrix[:, index])
            parts[f"{name}TRC".encode()] = curve
    table, body = len(parts).to_bytes(4, "big"), b""
    place = 128 + 4 + 12 * len(parts)
    for name, part in parts.items():
        table += name + struct.pack(">II", place + len(body), len(part))
        body += part + bytes(-len(part) % 4)
    kind = b"GRAY" if colours == 1 else b"RGB "
    head = struct.pack(">I4sI4s4s4s", place + len(body), bytes(4), 0x04300000, b"mntr", kind, b"XYZ ")
    head += struct.pack(">6H", 2025, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _fixed(_D50)
    return head.ljust(128, b"\0") + table + body


def _name_of(space: ColourSpace) -> str:
    named = {"Display P3": 12, "Rec. 2020": 9, "sRGB primaries": 1}
    close = (
        name
        for name, code in named.items()
        if np.allclose(space.chromaticities, _PRIMARIES[code], atol=_CLOSE)
    )
    name = "Adobe RGB" if space == ADOBE_RGB else next(close, "Primaries of the file")
    return name if space.gamma is None or space == ADOBE_RGB else f"{name}, gamma {space.gamma:.3f}"


def _matrices(chromaticities: Chromaticities) -> tuple[np.ndarray, np.ndarray]:
    """From RGB to XYZ of D50, and the adaptation of white that it holds."""
    points = np.array(chromaticities).reshape(4, 2)
    if (points <= 0).any() or (points > 1).any():
        raise ValueError(f"chromaticities {chromaticities} must be in (0, 1]")
    xyz = np.stack((points[:, 0], points[:, 1], 1 - points.sum(1))) / points[:, 1]
    primaries, white = xyz[:, :3], xyz[:, 3]
    if abs(np.linalg.det(primaries)) < 1e-6:
        raise ValueError(f"chromaticities {chromaticities} lie on a line")
    matrix = primaries * np.linalg.solve(primaries, white)
    cones = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    adaptation = np.linalg.solve(_BRADFORD, cones[:, None] * _BRADFORD)
    return adaptation @ matrix, adaptation


def _curve(gamma: float | None) -> bytes:
    kind, values = (3, _SRGB_CURVE) if gamma is None else (0, (gamma,))
    return b"para" + bytes(4) + struct.pack(">HH", kind, 0) + _fixed(np.array(values))


def _points(values: np.ndarray) -> bytes:
    return b"XYZ " + bytes(4) + _fixed(values)


def _fixed(values: np.ndarray) -> bytes:
    return np.round(values * 65536).clip(-(2**31), 2**31 - 1).astype(">i4").tobytes()


def _text(words: str) -> bytes:
    content = words.encode("utf-16-be")
    return b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(content), 28) + content
