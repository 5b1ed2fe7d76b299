"""What a file says about its image before a pixel is decoded."""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from hfmoe.image.reading import MAX_PIXELS, open_header

_ZIGZAG = sorted(range(64), key=lambda k: (k // 8 + k % 8, k // 8 if (k // 8 + k % 8) % 2 else k % 8))
_START_OF_SCAN = 0xDA
_TABLES = 0xDB
_WITHOUT_LENGTH = (0x01, *range(0xD0, 0xD9))


class FileFacts(NamedTuple):
    """Size in pixels, bits a sample, colour channels, alpha, format, and a short name of the ICC profile."""

    height: int
    width: int
    bits: int
    channels: int
    has_alpha: bool
    format: str
    profile: str


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
    )


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
