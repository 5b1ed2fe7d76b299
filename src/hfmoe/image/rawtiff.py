"""An uncompressed TIFF around samples that a file holds already: decoders read it without mapping it."""

import struct
import sys
from io import BufferedIOBase
from typing import Any

from hfmoe.image.tiff import BITS_PER_SAMPLE, PHOTOMETRIC, Field, Layout, pack_directory

HEAD = 16
"""Bytes before the first sample."""
STRIP = 16
"""Rows of a strip."""

_LAYOUT = Layout("<" if sys.byteorder == "little" else ">", True)
_SHORT, _LONG8 = 3, 16
_UNASSOCIATED_ALPHA = 2


def finish(
    file: BufferedIOBase | Any, *, height: int, width: int, bands: int, sample: int, alpha: bool, real: bool
) -> None:
    """Make a BigTIFF of a file that holds HEAD bytes and then samples, row by row, in this machine's order.

    sample: bytes of each; alpha: the last band is one; real: samples are floats. Raises OSError.
    """
    row = width * bands * sample
    end = HEAD + height * row
    starts = range(0, height, STRIP)
    fields = {
        256: _field(_LONG8, [width]),
        257: _field(_LONG8, [height]),
        BITS_PER_SAMPLE: _field(_SHORT, [8 * sample] * bands),
        259: _field(_SHORT, [1]),
        PHOTOMETRIC: _field(_SHORT, [2 if bands > 2 else 1]),
        273: _field(_LONG8, [HEAD + start * row for start in starts]),
        277: _field(_SHORT, [bands]),
        278: _field(_LONG8, [STRIP]),
        279: _field(_LONG8, [min(STRIP, height - start) * row for start in starts]),
        284: _field(_SHORT, [1]),
        339: _field(_SHORT, [3 if real else 1] * bands),
    }
    if alpha:
        fields[338] = _field(_SHORT, [_UNASSOCIATED_ALPHA])
    file.truncate(end)
    file.seek(end)
    file.write(pack_directory(fields, _LAYOUT, at=end))
    file.seek(0)
    mark = b"II" if _LAYOUT.order == "<" else b"MM"
    file.write(mark + struct.pack(_LAYOUT.order + "HHHQ", 43, 8, 0, end))


def _field(kind: int, values: list[int]) -> Field:
    code = {_SHORT: "H", _LONG8: "Q"}[kind]
    return Field(kind, len(values), struct.pack(f"{_LAYOUT.order}{len(values)}{code}", *values))
