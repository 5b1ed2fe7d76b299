"""Overlapping tiles of an image: what a network asks of them, where they lie, and how they blend.

A tile sees a halo that its result is not taken from; between neighbours the result fades over. The weights
are separable and are divided by their sum, so they are a partition of unity however the tiles lie.
"""

from dataclasses import dataclass
from itertools import pairwise, product
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from hfmoe.image.arrays import Array, alike, zeros_like
from hfmoe.models.config import HFMoEConfig

OVERLAP = 16
"""Input pixels over which neighbouring tiles fade into each other."""
BYTES_PER_CHANNEL = {"dense": 28, "rep": 28, "depthwise": 72}
"""Peak bytes per channel of the full-resolution path, by the kind of the texture blocks, float32, CPU.

Dense: measured with nano and tiny (`benchmarks/memory.py`); rep is dense once it is folded; depthwise: at
most, from small to base. A kind that was not measured counts as the largest of these.
"""
BYTES_PER_SAMPLE = 10
"""Peak bytes per sample of the result, beside what the network holds."""
STARTING = 40 * 2**20
"""Bytes that a first run leaves in a process, whatever its size."""
MOST_FALLOW = 128 * 2**20
"""Bytes of freed memory that runs on tiles leave between what they use, at most: four of the largest blocks
that are kept to be used again (`hfmoe.runtime.memory.reuse_memory`)."""


@dataclass(frozen=True)
class TileGeometry:
    """Tile geometry of a network, in input pixels, and the memory of runs on tiles.

    multiple: tiles begin on multiples of it. halo: pixels around a tile that are seen but not used. overlap:
    pixels over which neighbours fade. bytes_per_pixel: forecast of a run's peak memory, beside STARTING;
    fallow_per_pixel: freed memory that runs on parts leave to the next ones, up to MOST_FALLOW. least,
    largest: sides of a tile that the network takes.
    """

    scale: int
    multiple: int
    halo: int
    overlap: int = OVERLAP
    channels: int = 3
    bytes_per_pixel: int = 0
    fallow_per_pixel: int = 0
    least: int = 1
    largest: int | None = None

    @property
    def margin(self) -> int:
        """Pixels that neighbours share."""
        return 2 * self.halo + self.overlap

    @property
    def smallest(self) -> int:
        """Least side of a tile: two halos, the fade between neighbours, one grid step."""
        return max((-(-self.margin // self.multiple) + 1) * self.multiple, self.rounded(self.least))

    def rounded(self, side: int) -> int:
        """The least side on the grid that is no smaller."""
        return -(-side // self.multiple) * self.multiple

    def tiling(self, height: int, width: int, *, tile: int) -> "Tiling":
        """Tiles of at most `tile` pixels a side."""
        rule = {"tile": tile, "margin": self.margin, "multiple": self.multiple}
        return Tiling(cut(height, **rule), cut(width, **rule))

    def result_bytes(self, height: int, width: int, *, ensemble: bool = False) -> int:
        """Bytes of the whole result of a height x width input: floats, and 16-bit levels to be written.

        With an ensemble, also the floats of its mean and of a position turned back.
        """
        return (14 if ensemble else 6) * self.channels * height * width * self.scale**2

    def run_bytes(self, height: int, width: int, *, tile: int | None = None) -> int:
        """Forecast of the peak memory that restoring one image adds to a process on the CPU, in bytes.

        tile: side of the tiles, None = the whole image. For a network as wide as the image's channels.
        """
        pixels = min(height, tile or height) * min(width, tile or width)
        once = STARTING + self.bytes_per_pixel * pixels
        if tile is None:
            return once
        floats = 4 * self.channels * height * width * self.scale**2
        return once + min(MOST_FALLOW, self.fallow_per_pixel * pixels) + floats


def tile_geometry(config: HFMoEConfig) -> TileGeometry:
    """Return the tile geometry of a configuration.

    Tiles are aligned to windows and token groups. The halo is two windows of the coarsest scale: a tile's
    border reaches its first window in a plain block, half a window further in a shifted one, and a few
    positions more through deformable reads; two windows cover one such pair at each scale.
    """
    per_channel = BYTES_PER_CHANNEL.get(config.texture, max(BYTES_PER_CHANNEL.values()))
    return TileGeometry(
        scale=config.scale,
        multiple=config.size_multiple * max(1, config.token_group),
        halo=2 * config.size_multiple,
        channels=config.channels,
        bytes_per_pixel=per_channel * config.dim // config.folding**2
        + BYTES_PER_SAMPLE * config.channels * config.scale**2,
        fallow_per_pixel=40 * config.dim,
    )


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
    """The tiles of an image: spans of rows and of columns, in input pixels."""

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


class Block(NamedTuple):
    """A finished part of the result: where it lies in input pixels, and its values."""

    y: Span
    x: Span
    values: Float[Array, "n d H W"]


class Blender:
    """The sum of weighted tiles of an image, given from left to right, row after row.

    Only what neighbours share is held; each tile finishes a block of the result. `like`: an array or tensor
    whose kind, number format and device the sums have, with the layers (n, d) of the result.
    """

    def __init__(
        self, tiling: Tiling, layers: tuple[int, int], geometry: TileGeometry, *, like: Array
    ) -> None:
        self._tiling, self._layers, self._scale, self._like = tiling, layers, geometry.scale, like
        self._vertical = blend_weights(tiling.rows, halo=geometry.halo, scale=geometry.scale)
        self._horizontal = blend_weights(tiling.columns, halo=geometry.halo, scale=geometry.scale)
        shared = max((a.stop - b.start for a, b in pairwise(tiling.rows)), default=0)
        width = tiling.columns[-1].stop * self._scale
        self._below = zeros_like(like, (*layers, shared * self._scale, width))
        self._carried = 0
        self._open: Array | None = None

    def add(self, tile: Tile, restored: Float[Array, "n d H W"] | None) -> Block:
        """Add a tile, or nothing in its place, and return what no later tile changes."""
        sums = self._started(tile)
        if restored is not None:
            weight = self._vertical[tile.row][:, None] * self._horizontal[tile.column]
            sums += restored * alike(weight, restored)
        y, x = self._finished(tile)
        height, width = ((span.stop - span.start) * self._scale for span in (y, x))
        carried = sums.shape[-2] - height
        self._below[..., :carried, x.start * self._scale : x.stop * self._scale] = sums[..., height:, :width]
        if tile.column == len(self._tiling.columns) - 1:
            self._carried = carried
        self._open = sums[..., width:]
        return Block(y, x, sums[..., :height, :width])

    def _finished(self, tile: Tile) -> tuple[Span, Span]:
        """Rows and columns that are whole after a tile."""
        rows, columns = self._tiling
        bottom = rows[tile.row + 1].start if tile.row + 1 < len(rows) else tile.y.stop
        right = columns[tile.column + 1].start if tile.column + 1 < len(columns) else tile.x.stop
        return Span(tile.y.start, bottom), Span(tile.x.start, right)

    def _started(self, tile: Tile) -> Float[Array, "n d H W"]:
        """Return the sums of earlier tiles at the pixels of this one."""
        scale = self._scale
        height, width = ((span.stop - span.start) * scale for span in (tile.y, tile.x))
        sums = zeros_like(self._like, (*self._layers, height, width))
        left = 0
        if tile.column and self._open is not None:
            left = self._open.shape[-1]
            sums[..., :left] = self._open
        first = tile.x.start * scale
        sums[..., : self._carried, left:] = self._below[..., : self._carried, first + left : first + width]
        return sums
