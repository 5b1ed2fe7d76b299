"""`fill_hidden` for parts of an image: the coarse levels of the whole are kept, fine ones made by part."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from hfmoe.image.transparency import VISIBLE, halved, surroundings

LEVELS = 4
STEP = 2**LEVELS
"""Pixels a side that one of the coarse level stands for."""


class Window(NamedTuple):
    """A rectangle of an image: half-open ranges of rows and columns."""

    top: int
    bottom: int
    left: int
    right: int

    def around(self, reach: int, height: int, width: int, *, step: int = 1) -> "Window":
        """The window and `reach` pixels more where there are any, its borders at multiples of step."""
        return Window(
            max(self.top // step * step - reach, 0),
            min(-(-self.bottom // step) * step + reach, height),
            max(self.left // step * step - reach, 0),
            min(-(-self.right // step) * step + reach, width),
        )

    def within(self, outer: "Window", scale: int = 1) -> tuple[slice, slice]:
        """Rows and columns of this window in a part that begins as `outer` does, `scale` times as large."""
        rows = slice((self.top - outer.top) * scale, (self.bottom - outer.top) * scale)
        return rows, slice((self.left - outer.left) * scale, (self.right - outer.left) * scale)


class Coarse(NamedTuple):
    """Premultiplied colours and alpha of rows, averaged over STEP x STEP pixels."""

    seen: Float[np.ndarray, "1 c h w"]
    weight: Float[np.ndarray, "1 1 h w"]


def coarse_rows(colour: Float[np.ndarray, "1 c h w"], alpha: Float[np.ndarray, "1 1 h w"]) -> Coarse:
    """The coarse level of rows that begin at a multiple of STEP, and end at one or at the image's end."""
    seen, weight = colour * alpha, alpha
    for _ in range(LEVELS):
        seen, weight = halved(seen), halved(weight)
    return Coarse(seen, weight)


def coarse_surroundings(rows: list[Coarse]) -> Float[np.ndarray, "1 c h w"]:
    """Mean visible colours at the coarse level of the whole image."""
    return surroundings(*(np.concatenate(parts, axis=-2) for parts in zip(*rows, strict=True)))


def fill_part(
    colour: Float[np.ndarray, "1 c h w"],
    alpha: Float[np.ndarray, "1 1 h w"],
    around: Float[np.ndarray, "1 c y x"],
    window: Window,
    size: tuple[int, int],
) -> Float[np.ndarray, "1 c h w"]:
    """What `fill_hidden` makes of a part; right but for a border of STEP pixels inside the image.

    window: where the part lies in an image of `size`, on multiples of STEP but at the image's end; around:
    what `coarse_surroundings` gave.
    """
    if alpha.min() >= VISIBLE:
        return colour
    levels = [Coarse(colour * alpha, alpha)]
    sizes, places = [size], [window]
    for _ in range(LEVELS):
        levels.append(Coarse(*(halved(image) for image in levels[-1])))
        height, width = sizes[-1]
        sizes.append((-(-height // 2), -(-width // 2)))
        last = places[-1]
        places.append(Window(last.top // 2, -(-last.bottom // 2), last.left // 2, -(-last.right // 2)))
    under, there = around, Window(0, sizes[-1][0], 0, sizes[-1][1])
    for level in range(LEVELS - 1, -1, -1):
        under = _doubled_part(under, there, sizes[level + 1], places[level], sizes[level])
        there = places[level]
        seen, weight = levels[level]
        here = seen / weight.clip(min=1e-6) if level else colour
        if level and max(sizes[level]) == 1:
            under = here
            continue
        trust = (weight / VISIBLE).clip(max=1)
        under = under * (1 - trust) + here * trust
    return under


def _doubled_part(
    coarse: Float[np.ndarray, "1 c y x"],
    there: Window,
    coarse_size: tuple[int, int],
    here: Window,
    size: tuple[int, int],
) -> Float[np.ndarray, "1 c h w"]:
    """Bilinear enlargement of a level to the next, of a part alone; its border repeats where it ends."""
    for axis, begin, start, stop in (
        (-2, there.top, here.top, here.bottom),
        (-1, there.left, here.left, here.right),
    ):
        last = coarse_size[axis] - 1
        place = ((np.arange(start, stop) + 0.5) * coarse_size[axis] / size[axis] - 0.5).clip(0, last)
        low = np.floor(place).astype(np.int64)
        share = (place - low).astype(coarse.dtype)
        share = share[:, None] if axis == -2 else share
        ends = coarse.shape[axis] - 1
        near, far = (coarse.take((low + step - begin).clip(0, ends), axis=axis) for step in (0, 1))
        coarse = near * (1 - share) + far * share
    return coarse
