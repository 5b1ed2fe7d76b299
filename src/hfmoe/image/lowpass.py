"""The low frequencies of an enlarged image: a binomial low-pass, wider for larger scales."""

from functools import lru_cache
from math import comb

import numpy as np
from jaxtyping import Float

from hfmoe.image.arrays import Array
from hfmoe.image.banded import Block, Taps, apply_blocks, blocks_of


def binomial(order: int) -> Float[np.ndarray, " taps"]:
    """The binomial coefficients of an even order as weights of sum 1, cut at four deviations."""
    reach = min(order // 2, 2 * round(order**0.5))
    middle = order // 2
    weights = np.array([comb(order, middle + step) for step in range(-reach, reach + 1)], dtype=np.float64)
    return weights / weights.sum()


def low_pass(image: Float[Array, "b c h w"], *, scale: int) -> Float[Array, "b c h w"]:
    """The image without what is finer than about two input pixels, each `scale` pixels wide.

    A binomial kernel with a deviation of one input pixel (1 4 6 4 1 at scale 1); borders are repeated.
    """
    for axis in (1, 0):
        image = apply_blocks(_blocks(image.shape[axis - 2], scale), image, axis=axis)
    return image


@lru_cache(maxsize=16)
def _blocks(length: int, scale: int) -> tuple[Block, ...]:
    weights = binomial(4 * scale**2)
    reach = len(weights) // 2
    positions = np.arange(length)[:, None] + np.arange(-reach, reach + 1)
    return blocks_of(Taps(positions.clip(0, length - 1), np.tile(weights, (length, 1))))
