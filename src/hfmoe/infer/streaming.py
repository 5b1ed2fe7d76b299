"""Streamed inference: rows of tiles go in, finished blocks of the result come out."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from jaxtyping import Float, Shaped

from hfmoe.image.alpha import STEP, Window, fill_part, is_flat
from hfmoe.image.arrays import Array, as_array
from hfmoe.image.picture import Picture
from hfmoe.image.resize import resize
from hfmoe.image.streaming import Strips, Survey
from hfmoe.infer.memory import LARGEST, SHARE, plan_tile
from hfmoe.infer.restorer import Restorer, from_channels, repeated, to_channels
from hfmoe.infer.tiled import OnTile, restore_tensor
from hfmoe.infer.tiles import Blender, Block, Span, Tile, Tiling

Put = Callable[[Picture, int, int], None]
"""Called with a finished part of the result and its first row and column."""
OnRow = Callable[[int], None]
"""Called with the number of rows of tiles whose blocks are all put."""


NETWORK_BYTES = 2**29
"""Memory of a run of the network, in bytes, so that all together stays below 2 GiB."""


def plan_side(restorer: Restorer, *, free: int, layers: int = 1) -> int:
    """Side of the tiles that free memory allows; layers: runs of the network at once."""
    memory = min(free, int(NETWORK_BYTES / SHARE))
    side = plan_tile(LARGEST, LARGEST + 1, geometry=restorer.geometry, free=memory, at_once=layers)
    return side or LARGEST


def plan_tiling(restorer: Restorer, height: int, width: int, *, tile: int) -> Tiling:
    """Tiles of an image as `Restorer` cuts them for tiles of that side."""
    return restorer.geometry.tiling(height, width, tile=restorer.geometry.rounded(tile))


@dataclass(frozen=True)
class Streaming:
    """An image from its strips, restored with the options of `Restorer` but for the ensemble.

    The result is that of `Restorer.picture` with tiles of the same side. survey: of the same image, where it
    has alpha or floats.
    """

    restorer: Restorer
    strips: Strips
    survey: Survey | None
    tiling: Tiling
    effort: float = 0.5
    strength: float = 1.0
    separate: bool = False

    def run(
        self, put: Put, *, first: int = 0, on_tile: OnTile | None = None, on_row: OnRow | None = None
    ) -> None:
        """Go through the image; rows of tiles before `first` have been put and are only gone through again
        as far as they reach into later ones.
        """
        tiles = self.tiling.tiles()
        rows = self.tiling.rows
        start = next((row for row, span in enumerate(rows) if first and span.stop > rows[first].start), 0)
        layers = _Layers(self)
        band = _Band(self.strips)
        for row, across in groupby(tiles, key=lambda tile: tile.row):
            if row < start:
                continue
            band.move(rows[row])
            for tile in across:
                picture, y, x = layers.add(tile, band)
                if row >= first:
                    put(picture, y.start * self.restorer.scale, x.start * self.restorer.scale)
                if on_tile:
                    on_tile(row * len(self.tiling.columns) + tile.column + 1, len(tiles))
            if on_row and row >= first:
                on_row(row + 1)


class _Band:
    """The rows of the image that a row of tiles depends on."""

    def __init__(self, strips: Strips) -> None:
        self._strips = strips
        self._rows: np.ndarray = np.empty((0, strips.width, strips.bands))
        self._begin = 0

    def move(self, span: Span) -> None:
        """Go on to the rows around a span, which begins no higher than the last."""
        size = (self._strips.height, self._strips.width)
        begin, end, _, _ = Window(*span, 0, size[1]).around(STEP, *size, step=STEP)
        kept = self._rows[max(0, begin - self._begin) :]
        have = self._begin + len(self._rows)
        while have < begin:
            have += len(self._strips.rows(min(STEP, begin - have)))
        new = [self._strips.rows(min(64, end - at)) for at in range(have, end, 64)]
        self._rows = np.concatenate([kept, *new]) if len(kept) else np.concatenate(new)
        self._begin = begin

    def part(self, window: Window) -> Float[np.ndarray, "1 bands h w"]:
        """A rectangle of the image."""
        samples: Shaped[np.ndarray, "h w bands"] = self._rows[
            window.top - self._begin : window.bottom - self._begin, window.left : window.right
        ]
        return self._strips.floats(samples)[None]


class _Layers:
    """Colour and alpha of a result that grows tile by tile."""

    def __init__(self, streaming: Streaming) -> None:
        self._of = streaming
        self._size = (streaming.strips.height, streaming.strips.width)
        plain = streaming.strips.plain
        self._has_alpha, self._is_float = plain.has_alpha, plain.bits == 32
        restorer = streaming.restorer
        colours = np.zeros((1, streaming.strips.bands - self._has_alpha, 1, 1), np.float32)
        shapes = [to_channels(like, restorer.channels).shape for like in (colours, colours[:, :1])]
        layers = [(shape[0], shape[1]) for shape in shapes]
        blenders = [Blender(streaming.tiling, shape, restorer.geometry, like=colours) for shape in layers]
        self._colour = blenders[0]
        self._alpha = blenders[1] if self._has_alpha and (restorer.scale > 1 or streaming.separate) else None

    def add(self, tile: Tile, band: _Band) -> tuple[Picture, Span, Span]:
        """Restore a tile; gives the part of the result that it finished, and where."""
        place = Window(*tile.y, *tile.x)
        outer = place.around(STEP, *self._size, step=STEP)
        seen = band.part(outer)
        rows, columns = place.within(outer)
        colour = self._colour.add(tile, self._restored(self._shown(seen, outer)[..., rows, columns]))
        edges = None
        if self._alpha is not None:
            alpha = seen[:, -1:]
            flat = bool(is_flat(alpha)[..., rows, columns].all())
            edges = self._alpha.add(tile, None if flat else self._restored(alpha[..., rows, columns]))
        return self._finish(colour, edges, band), colour.y, colour.x

    def _shown(self, seen: Float[np.ndarray, "1 bands h w"], window: Window) -> Float[np.ndarray, "1 c h w"]:
        """Return the network's input: colours within [0, 1], hidden ones filled."""
        colour = seen[:, :-1] if self._has_alpha else seen
        colour = colour.clip(0, 1) if self._is_float else colour
        survey = self._of.survey
        if self._of.separate or not self._has_alpha or survey is None or survey.around is None:
            return colour
        return fill_part(colour, seen[:, -1:], survey.around, window, self._size)

    def _restored(self, part: Float[np.ndarray, "1 c h w"]) -> Float[np.ndarray, "n d H W"]:
        of, restorer = self._of, self._of.restorer

        def run(channels: Float[Array, "b c h w"]) -> Float[Array, "b c H W"]:
            return restorer.part(channels, effort=of.effort, strength=of.strength)

        channels = to_channels(np.ascontiguousarray(part), restorer.channels)
        restored = restore_tensor(run, restorer.engine.adopt(channels), restorer.geometry, tile=None)
        return as_array(restored)

    def _finish(self, colour: Block, alpha: Block | None, band: _Band) -> Picture:
        """The finished part as a picture, with what no network makes: alpha where flat, values beyond 1."""
        place = Window(*colour.y, *colour.x)
        outer = place.around(STEP, *self._size)
        seen = band.part(outer)
        straight = seen[:, :-1] if self._has_alpha else seen
        scale = self._of.restorer.scale
        values = from_channels(colour.values, straight).clip(0, 1)
        if self._is_float:
            beyond = straight - straight.clip(0, 1)
            if beyond.any():
                rows, columns = place.within(outer, scale)
                beyond = resize(beyond, scale=scale) if scale > 1 else beyond
                values = values + beyond[..., rows, columns]
        opacity = self._opacity(seen[:, -1:], place, outer, alpha) if self._has_alpha else None
        plain = self._of.strips.plain
        return Picture(values[0], None if opacity is None else opacity[0], plain.bits)

    def _opacity(
        self, alpha: Float[np.ndarray, "1 1 h w"], place: Window, outer: Window, edges: Block | None
    ) -> Float[np.ndarray, "1 1 H W"]:
        rows, columns = place.within(outer)
        if edges is None:
            return alpha[..., rows, columns]
        scale = self._of.restorer.scale
        flat, kept = (repeated(image[..., rows, columns], scale) for image in (is_flat(alpha), alpha))
        restored = from_channels(edges.values, alpha).clip(0, 1)
        return np.where(flat > 0, kept, restored)
