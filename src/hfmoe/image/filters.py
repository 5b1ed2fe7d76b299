"""Linear filters along the axes of an image, as banded matrices, and the low-pass among them.

An axis is one banded matrix, applied in blocks of outputs that follow each other, so that memory and work
grow with the image and not with its square.
"""

from functools import lru_cache
from math import comb
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from hfmoe.image.arrays import Array, alike, namespace

BLOCK = 128
"""Outputs of a block, unless it is said otherwise."""


class Taps(NamedTuple):
    """The input positions that each output position reads, and their weights."""

    positions: Int[np.ndarray, "outputs taps"]
    weights: Float[np.ndarray, "outputs taps"]


class MatrixBlock(NamedTuple):
    """Outputs that follow each other, as one small matrix over inputs[start:stop]."""

    start: int
    stop: int
    matrix: Float[np.ndarray, "outputs inputs"]


def blocks_of(taps: Taps, *, step: int = BLOCK) -> tuple[MatrixBlock, ...]:
    """The matrix of one axis in float64, `step` outputs at a time, cut where it is zero.

    Blocks that differ in nothing but their place, as most do, have one matrix together.
    """
    blocks, known = [], {}
    for first in range(0, len(taps.positions), step):
        positions, weights = taps.positions[first : first + step], taps.weights[first : first + step]
        start, stop = int(positions.min()), int(positions.max()) + 1
        matrix = np.zeros((len(positions), stop - start))
        np.add.at(matrix, (np.arange(len(positions))[:, None], positions - start), weights)
        blocks.append(MatrixBlock(start, stop, known.setdefault((matrix.shape, matrix.tobytes()), matrix)))
    return tuple(blocks)


def apply_blocks(
    blocks: tuple[MatrixBlock, ...], image: Float[Array, "*b c h w"], *, axis: int
) -> Float[Array, "*b c H W"]:
    """The image with its rows (axis 0) or columns (axis 1) filtered."""
    parts = []
    for block in blocks:
        matrix = alike(block.matrix, image)
        if axis == 0:
            parts.append(matrix @ image[..., block.start : block.stop, :])
        else:
            parts.append(image[..., block.start : block.stop] @ matrix.T)
    return parts[0] if len(parts) == 1 else namespace(image).concatenate(parts, axis - 2)


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
def _blocks(length: int, scale: int) -> tuple[MatrixBlock, ...]:
    weights = binomial(4 * scale**2)
    reach = len(weights) // 2
    positions = np.arange(length)[:, None] + np.arange(-reach, reach + 1)
    return blocks_of(Taps(positions.clip(0, length - 1), np.tile(weights, (length, 1))))
