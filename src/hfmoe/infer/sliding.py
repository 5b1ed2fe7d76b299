"""Blending tiles that come row by row without holding more of the image than neighbours share.

The sums are those of `tiled` in the same order, so that what comes out is the same to the last bit.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from hfmoe.infer.tiles import Span, Tile, Tiling, blend_weights


class Block(NamedTuple):
    """A finished part of the result: where it lies in input pixels, and its values."""

    y: Span
    x: Span
    values: Float[np.ndarray, "n d H W"]


class Sliding:
    """The sum of weighted tiles of one layer of an image, given from left to right, row after row."""

    def __init__(self, tiling: Tiling, layers: tuple[int, int], *, scale: int, halo: int) -> None:
        self._tiling, self._layers, self._scale = tiling, layers, scale
        self._vertical = blend_weights(tiling.rows, halo=halo, scale=scale)
        self._horizontal = blend_weights(tiling.columns, halo=halo, scale=scale)
        shared = max((a.stop - b.start for a, b in pairwise(tiling.rows)), default=0)
        self._below = np.zeros((*layers, shared * scale, tiling.columns[-1].stop * scale), np.float32)
        self._carried = 0
        self._open: np.ndarray | None = None

    def add(self, tile: Tile, restored: Float[np.ndarray, "n d H W"] | None) -> Block:
        """Add a tile, or nothing in its place, and give what no later tile changes."""
        sums = self._started(tile)
        if restored is not None:
            sums += restored * (self._vertical[tile.row][:, None] * self._horizontal[tile.column])
        y, x = self.finished(tile)
        height, width = ((span.stop - span.start) * self._scale for span in (y, x))
        carried = sums.shape[-2] - height
        self._below[..., :carried, x.start * self._scale : x.stop * self._scale] = sums[..., height:, :width]
        if tile.column == len(self._tiling.columns) - 1:
            self._carried = carried
        self._open = sums[..., width:]
        return Block(y, x, sums[..., :height, :width])

    def finished(self, tile: Tile) -> tuple[Span, Span]:
        """Rows and columns that are whole after a tile."""
        rows, columns = self._tiling
        bottom = rows[tile.row + 1].start if tile.row + 1 < len(rows) else tile.y.stop
        right = columns[tile.column + 1].start if tile.column + 1 < len(columns) else tile.x.stop
        return Span(tile.y.start, bottom), Span(tile.x.start, right)

    def _started(self, tile: Tile) -> Float[np.ndarray, "n d H W"]:
        """What earlier tiles gave to the pixels of this one."""
        scale = self._scale
        height, width = ((span.stop - span.start) * scale for span in (tile.y, tile.x))
        sums = np.zeros((*self._layers, height, width), np.float32)
        left = 0
        if tile.column and self._open is not None:
            left = self._open.shape[-1]
            sums[..., :left] = self._open
        first = tile.x.start * scale
        above = self._below[..., : self._carried, first + left : first + width]
        sums[..., : self._carried, left:] = above
        return sums
