"""Colours where a picture is transparent: nobody sees them, but a network that looks around would."""

from functools import lru_cache

import numpy as np
from jaxtyping import Float

from hfmoe.image.arrays import Array, alike, copied, namespace, zeros_like
from hfmoe.image.banded import Block, Taps, apply_blocks, blocks_of

VISIBLE = 1 / 8
"""Alpha from which on a pixel's colour is its own; below, it fades into that of its surroundings."""


def fill_hidden(colour: Float[Array, "b c h w"], alpha: Float[Array, "b 1 h w"]) -> Float[Array, "b c h w"]:
    """The colours with those of transparent pixels replaced by their visible surroundings'.

    Premultiplied colours are averaged over 2 x 2 pixels again and again until everything is covered, and
    laid under each finer level: what is hidden leaves no trace. Pixels of alpha 1/8 and more are unchanged.
    Source: Gortler et al., "The Lumigraph", 1996 (pull-push).
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
def _means(length: int) -> tuple[Block, ...]:
    first = 2 * np.arange((length + 1) // 2)
    positions = np.stack((first, (first + 1).clip(max=length - 1)), 1)
    return blocks_of(Taps(positions, np.full(positions.shape, 0.5)))


@lru_cache(maxsize=64)
def _bilinear(inputs: int, outputs: int) -> tuple[Block, ...]:
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
