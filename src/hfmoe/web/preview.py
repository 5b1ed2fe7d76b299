"""A photo and its result as pictures of one size that every browser shows."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from hfmoe.image.files import Metadata, Picture, flatten, read_arrays, write_picture
from hfmoe.image.resize import resize

SIDE = 4096
"""Pixels of a side that a preview shows at most: the middle of larger results."""


class Preview(NamedTuple):
    """Two JPEG files of one size, the size of the result, and whether they show only its middle."""

    before: Path
    after: Path
    width: int
    height: int
    is_part: bool


def make_preview(source: Path, result: Path, folder: Path, *, scale: int) -> Preview:
    """Write the photo, enlarged by bicubic interpolation, and its result into a folder; over white."""
    after = read_arrays(result)
    height, width = after.colour.shape[-2:]
    top, left = (max(0, side - SIDE) // 2 // scale for side in (height, width))
    shown = SIDE // scale
    before = _cropped(read_arrays(source), top, left, shown)
    if scale > 1:
        alpha = None if before.alpha is None else resize(before.alpha, scale=scale).clip(0, 1)
        before = replace(before, colour=resize(before.colour, scale=scale), alpha=alpha)
    after = _cropped(after, top * scale, left * scale, shown * scale)
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / "before.jpg", folder / "after.jpg"
    for path, picture in zip(paths, (before, after), strict=True):
        plain = flatten(replace(picture, bits=8, metadata=Metadata()))
        write_picture(path, replace(plain, colour=plain.colour.clip(0, 1)))
    return Preview(*paths, width, height, max(height, width) > shown * scale)


def _cropped(picture: Picture, top: int, left: int, side: int) -> Picture:
    rows, columns = slice(top, top + side), slice(left, left + side)
    alpha = None if picture.alpha is None else picture.alpha[:, rows, columns]
    return replace(picture, colour=picture.colour[:, rows, columns], alpha=alpha)
