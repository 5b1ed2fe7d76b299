"""Partial decoding of JPEG and PNG files that are damaged or cut off."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyvips

from hfmoe.image.picture import ImageError, PagesError, Picture
from hfmoe.image.reading import as_picture, decode, open_header, read_arrays

PIXELS_PER_BYTE = 256
"""More pixels in a byte of a file are nearly all missing, and their filler would fill the memory."""


def read_kept(path: Path) -> Picture:
    """As `read_arrays`; of a damaged JPEG or PNG what can be decoded, with the share that is missing.

    Raises ImageError as `read_arrays` for other formats, and where nothing can be decoded.
    """
    try:
        return read_arrays(path)
    except PagesError:
        raise
    except ImageError as error:
        try:
            return _decoded(path, error)
        except (pyvips.Error, ImageError):
            raise error from None


def _decoded(path: Path, error: ImageError) -> Picture:
    image = open_header(path, fail_on="none")
    loader = str(image.get("vips-loader")).split("load")[0]
    holds_little = image.width * image.height > PIXELS_PER_BYTE * path.stat().st_size
    if loader not in ("jpeg", "png") or holds_little:
        raise error
    samples = decode(path, image, loader)
    missing = _missing(path)
    if missing == 1:
        raise error
    return replace(as_picture(path, samples), missing=missing)


def _missing(path: Path) -> float:
    """Share of a damaged file's rows, the last ones, that are filler: of one colour and not decoded."""
    image = open_header(path)
    region, sound = pyvips.Region.new(image), 0
    try:
        while sound < image.height:
            region.fetch(0, sound, image.width, 1)
            sound += 1
    except pyvips.Error:
        values = open_header(path, fail_on="none").numpy()[sound:]
        filler = (values == values[-1:, -1:]).reshape(len(values), -1).all(1)
        whole = np.flatnonzero(~filler)
        return (len(values) - (int(whole[-1]) + 1 if len(whole) else 0)) / image.height
    return 0.0
