"""Colours under transparency: nobody sees them, but a network that looks around would.

Source of the filling: Gortler et al., "The Lumigraph", 1996 (pull-push).
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from hfmoe.image.arrays import Array, alike, copied, namespace, zeros_like
from hfmoe.image.filters import MatrixBlock, Taps, apply_blocks, blocks_of

VISIBLE = 1 / 8
"""Alpha from which on a pixel's colour is its own; below, it fades into that of its surroundings."""
LEVELS = 4
STEP = 2**LEVELS
"""Pixels a side that one of the coarse level stands for."""


def fill_hidden(colour: Float[Array, "b c h w"], alpha: Float[Array, "b 1 h w"]) -> Float[Array, "b c h w"]:
    """The colours with those of transparent pixels replaced by their visible surroundings'.

    Premultiplied colours are averaged over 2 x 2 pixels again and again until everything is covered, and
    laid under each finer level: what is hidden leaves no trace. Pixels of alpha 1/8 and more are unchanged.
    """
    if alpha.min() >= VISIBLE:
        return colour
    seen, weight = colour * alpha, alpha
    under = zeros_like(colour, ())
    if max(alpha.shape[-2:]) > 1:
        under = _doubled(surroundings(halved(seen), halved(weight)), alpha)
    trust = (alpha / VISIBLE).clip(max=1)
    return under * (1 - trust) + colour * trust


def surroundings(seen: Float[Array, "b c h w"], weight: Float[Array, "b 1 h w"]) -> Float[Array, "b c h w"]:
    """Mean visible colours of a level; where little is visible, those of the next coarser one."""
    here = seen / weight.clip(min=1e-6)
    if max(weight.shape[-2:]) == 1 or weight.min() >= VISIBLE:
        return here
    under = _doubled(surroundings(halved(seen), halved(weight)), weight)
    trust = (weight / VISIBLE).clip(max=1)
    return under * (1 - trust) + here * trust


def halved(image: Float[Array, "b c h w"]) -> Float[Array, "b c H W"]:
    """Means of 2 x 2 pixels; of what there is of them at an odd border."""
    for axis in (0, 1):
        image = apply_blocks(_means(image.shape[axis - 2]), image, axis=axis)
    return image


def _doubled(image: Float[Array, "b c h w"], like: Float[Array, "b d H W"]) -> Float[Array, "b c H W"]:
    """Bilinear enlargement to the size of `like`, the outer pixels repeated beyond their middles."""
    for axis in (0, 1):
        image = apply_blocks(_bilinear(image.shape[axis - 2], like.shape[axis - 2]), image, axis=axis)
    return image


@lru_cache(maxsize=64)
def _means(length: int) -> tuple[MatrixBlock, ...]:
    first = 2 * np.arange((length + 1) // 2)
    positions = np.stack((first, (first + 1).clip(max=length - 1)), 1)
    return blocks_of(Taps(positions, np.full(positions.shape, 0.5)))


@lru_cache(maxsize=64)
def _bilinear(inputs: int, outputs: int) -> tuple[MatrixBlock, ...]:
    place = ((np.arange(outputs) + 0.5) * inputs / outputs - 0.5).clip(0, inputs - 1)
    left = np.floor(place).astype(np.int64)
    positions = np.stack((left, (left + 1).clip(max=inputs - 1)), 1)
    return blocks_of(Taps(positions, np.stack((1 - (place - left), place - left), 1)))


def is_flat(alpha: Float[Array, "b 1 h w"], *, reach: int = 2) -> Float[Array, "b 1 h w"]:
    """1 where alpha is the same in a square of `reach` pixels around, 0 elsewhere."""
    highest, lowest = _highest(alpha, reach), -_highest(-alpha, reach)
    return alike(highest == lowest, alpha)


def _highest(image: Float[Array, "b c h w"], reach: int) -> Float[Array, "b c h w"]:
    """The largest value in a square around each pixel, one axis after the other."""
    xp = namespace(image)
    for axis in (-2, -1):
        moved = xp.swapaxes(image, axis, -1)
        around = copied(moved)
        for by in range(1, min(reach, moved.shape[-1] - 1) + 1):
            around[..., by:] = xp.maximum(around[..., by:], moved[..., :-by])
            around[..., :-by] = xp.maximum(around[..., :-by], moved[..., by:])
        image = xp.swapaxes(around, axis, -1)
    return image


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
    """`fill_hidden` of a part of an image; right but for a border of STEP pixels inside the image.

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
