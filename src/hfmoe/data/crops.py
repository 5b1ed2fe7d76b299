"""Where crops lie, as a pure function of (seed, step), and how they are copied out of their photos."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from hfmoe.data.photos import Photo, PhotoSet
from hfmoe.data.sources import DataError


class Crop(NamedTuple):
    """Where one sample comes from: photo, corner in degraded pixels, and which of 8 flips and turns."""

    photo: int
    top: int
    left: int
    turn: int


def draw(photos: PhotoSet, *, seed: int, step: int, size: int, patch: int) -> list[Crop]:
    """Choose `size` crops of `patch` x `patch` degraded pixels, from nothing but (seed, step).

    Every crop position of the whole set is equally likely, so a photo is drawn in proportion to the room
    that it has for the patch; a photo smaller than the patch is never drawn.
    """
    room = np.clip(photos.sizes - patch + 1, 0, None)
    ends = np.cumsum(room[:, 0] * room[:, 1])
    if not len(ends) or not ends[-1]:
        raise DataError(
            f"none of {len(ends)} photos has room for a patch of {patch} x {patch} degraded pixels"
        )
    generator = np.random.default_rng([seed, step])
    places = generator.integers(ends[-1], size=size)
    turns = generator.integers(8, size=size)
    chosen = np.searchsorted(ends, places, side="right")
    within = places - np.where(chosen > 0, ends[chosen - 1], 0)
    tops, lefts = np.divmod(within, room[chosen, 1])
    return [Crop(*map(int, numbers)) for numbers in zip(chosen, tops, lefts, turns, strict=True)]


def turned(image: UInt8[np.ndarray, "h w c"], turn: int) -> UInt8[np.ndarray, "H W c"]:
    """Give one of the 8 flips and quarter turns of an image, as a view."""
    image = image.swapaxes(0, 1) if turn & 4 else image
    return image[:: -1 if turn & 2 else 1, :: -1 if turn & 1 else 1]


def gather(photos: PhotoSet, crops: Sequence[Crop], *, patch: int) -> Photo:
    """Copy the crops out of their photos: uint8 arrays "b patch patch c" and "b scale*patch scale*patch
    c"."""
    sides = []
    for side, factor in enumerate((1, photos.scale)):
        length = patch * factor
        channels = photos.photos[0][side].shape[-1]
        out = np.empty((len(crops), length, length, channels), dtype=np.uint8)
        for into, crop in zip(out, crops, strict=True):
            top, left = crop.top * factor, crop.left * factor
            window = photos.photos[crop.photo][side][top : top + length, left : left + length]
            into[:] = turned(window, crop.turn)
        sides.append(out)
    return Photo(*sides)
