"""Overlapping tiles of an image, and the weights that blend them.

A tile sees a halo that its result is not taken from; between neighbours the result fades over. The weights
are separable and are divided by their sum, so they are a partition of unity however the tiles lie.
"""

from itertools import pairwise, product
from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class Span(NamedTuple):
    """Half-open range of pixels along one axis."""

    start: int
    stop: int


class Tile(NamedTuple):
    """A rectangle of the image, and its place in the rows and columns of tiles."""

    row: int
    column: int
    y: Span
    x: Span


class Tiling(NamedTuple):
    """Where the tiles of an image lie: spans of rows and of columns, in input pixels."""

    rows: tuple[Span, ...]
    columns: tuple[Span, ...]

    def tiles(self) -> list[Tile]:
        """Every rectangle, row by row."""
        places = product(enumerate(self.rows), enumerate(self.columns))
        return [Tile(row, column, y, x) for (row, y), (column, x) in places]


def cut(length: int, *, tile: int, margin: int, multiple: int) -> tuple[Span, ...]:
    """Spans of at most `tile` pixels that cover [0, length), begin on multiples and share >= `margin` pixels.

    Raises ValueError when tile is not a multiple of `multiple`, or leaves nothing after the margin.
    """
    if tile % multiple:
        raise ValueError(f"tile {tile} must be a multiple of {multiple}")
    step = (tile - margin) // multiple * multiple
    if step < multiple:
        raise ValueError(f"tile {tile} must be at least {margin + multiple}: {margin} pixels are shared")
    if length <= tile:
        return (Span(0, length),)
    last = -(-(length - tile) // multiple) * multiple
    gaps = -(-last // step)
    starts = [index * last // gaps // multiple * multiple for index in range(gaps + 1)]
    return tuple(Span(start, min(start + tile, length)) for start in starts)


def blend_weights(spans: tuple[Span, ...], *, halo: int, scale: int) -> list[Float[np.ndarray, " length"]]:
    """Weights of each span along one axis of the output; over all spans they sum to 1 at every pixel.

    Inside the halo of an inner border the weight is 0; from there it rises to where the neighbour's halo
    begins.
    """
    ramps = [np.ones((span.stop - span.start) * scale) for span in spans]
    for index, (left, right) in enumerate(pairwise(spans)):
        fade = (left.stop - right.start - 2 * halo) * scale
        if fade < 0:
            raise ValueError(f"tiles {left} and {right} share less than two halos of {halo}")
        rising = (np.arange(fade) + 0.5) / max(fade, 1)
        edge = np.concatenate([np.zeros(halo * scale), rising])
        length = len(edge)
        ramps[index][len(ramps[index]) - length :] *= edge[::-1]
        ramps[index + 1][:length] *= edge
    total = np.zeros(spans[-1].stop * scale)
    for span, ramp in zip(spans, ramps, strict=True):
        total[span.start * scale : span.stop * scale] += ramp
    return [
        (ramp / total[span.start * scale : span.stop * scale]).astype(np.float32)
        for span, ramp in zip(spans, ramps, strict=True)
    ]
