"""Tiled inference: an image whole or tile by tile; where memory runs out, in smaller tiles."""

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import NamedTuple

from jaxtyping import Float

from hfmoe.image.arrays import Array, alike, namespace, zeros_like
from hfmoe.infer.memory import is_shortage, make_room
from hfmoe.infer.tiles import Blender, Span, Tile, TileGeometry

ArrayNetwork = Callable[[Array], Array]
OnTile = Callable[[int, int], None]
"""Called after each tile with the tiles done and the tiles in all."""


class Load(NamedTuple):
    """Tiles that the network gets at once: their side (None = the whole image), and how many."""

    tile: int | None
    batch: int = 1

    def holds(self, image: Float[Array, "b c h w"]) -> bool:
        """Return whether the image needs no cutting."""
        return self.tile is None or max(image.shape[-2:]) <= self.tile

    def halved(self, image: Float[Array, "b c h w"], geometry: TileGeometry) -> "Load":
        """Half as many tiles, or tiles of half the side. Raises MemoryError when none is smaller."""
        if self.batch > 1:
            return Load(self.tile, self.batch // 2)
        side = max(image.shape[-2:])
        half = max(side // 2 // geometry.multiple * geometry.multiple, geometry.smallest)
        if half >= side:
            raise MemoryError(f"memory does not suffice for a tile of {side} pixels, the smallest there is")
        return Load(half)


def restore_tensor(
    network: ArrayNetwork,
    image: Float[Array, "b c h w"],
    geometry: TileGeometry,
    *,
    tile: int | None,
    batch: int = 1,
    on_tile: OnTile | None = None,
) -> Float[Array, "b c H W"]:
    """Run network (image -> image `scale` times as large) whole, or in tiles of at most `tile` pixels.

    Tiles begin on the geometry's grid; each sees a halo that is not used of it, and neighbours fade into each
    other; up to `batch` of them run at once. When memory runs out, batch and then tiles are halved for all
    that is left to do. The result is not clamped and lies where the image lies. Raises ValueError when the
    tile is too small for halo and overlap, or the network's result has another size; MemoryError when the
    smallest tile does not fit.
    """
    load = Load(tile, batch)
    while load.holds(image):
        restored = _attempt(network, image, geometry.scale)
        if restored is not None:
            if on_tile:
                on_tile(1, 1)
            return restored
        load = Load(None).halved(image, geometry)
    return _in_tiles(network, image, geometry, load, on_tile)[0]


def _in_tiles(
    network: ArrayNetwork,
    image: Float[Array, "b c h w"],
    geometry: TileGeometry,
    load: Load,
    on_tile: OnTile | None = None,
) -> tuple[Float[Array, "b c H W"], Load]:
    """The image from blended tiles, and the load that memory turned out to allow."""
    assert load.tile is not None
    count, channels, height, width = image.shape
    scale = geometry.scale
    tiling = geometry.tiling(height, width, tile=load.tile)
    tiles = tiling.tiles()
    blender = Blender(tiling, (count, channels), geometry, like=image)
    output = zeros_like(image, (count, channels, height * scale, width * scale))
    done = 0
    for group in _groups(tiles, load.batch):
        parts, load = _careful(network, [_part(image, tile.y, tile.x) for tile in group], geometry, load)
        for tile, restored in zip(group, parts, strict=True):
            block = blender.add(tile, restored)
            _part(output, block.y, block.x, scale)[...] = block.values
            done += 1
            if on_tile:
                on_tile(done, len(tiles))
    return output, load


def _careful(
    network: ArrayNetwork, parts: list[Array], geometry: TileGeometry, load: Load
) -> tuple[list[Array], Load]:
    """Restore parts of one shape within a load, which is halved until memory suffices."""
    restored: list[Array] = []
    count = len(parts[0])
    while len(restored) < len(parts):
        chunk = parts[len(restored) : len(restored) + load.batch]
        if not load.holds(chunk[0]):
            result, load = _in_tiles(network, chunk[0], geometry, load)
            restored.append(result)
            continue
        results = _attempt(network, _together(chunk), geometry.scale)
        if results is None:
            load = load.halved(chunk[0], geometry)
        else:
            restored += [results[start : start + count] for start in range(0, len(results), count)]
    return restored, load


def _groups(tiles: list[Tile], batch: int) -> Iterator[list[Tile]]:
    """Tiles that follow each other and have one shape, at most `batch` at once."""
    for _, same in groupby(tiles, key=_shape):
        group = list(same)
        for start in range(0, len(group), batch):
            yield group[start : start + batch]


def _shape(tile: Tile) -> tuple[int, int]:
    return tile.y.stop - tile.y.start, tile.x.stop - tile.x.start


def _part(image: Float[Array, "b c h w"], y: Span, x: Span, scale: int = 1) -> Float[Array, "b c y x"]:
    return image[..., y.start * scale : y.stop * scale, x.start * scale : x.stop * scale]


def _together(parts: list[Array]) -> Float[Array, "b c y x"]:
    return parts[0] if len(parts) == 1 else namespace(parts[0]).concatenate(parts)


def _attempt(
    network: ArrayNetwork, image: Float[Array, "b c h w"], scale: int
) -> Float[Array, "b c H W"] | None:
    """Run the network on the image; None, with all memory freed, where memory ran out."""
    try:
        return _run(network, image, scale)
    except (RuntimeError, MemoryError) as error:
        if not is_shortage(error):
            raise
    make_room()
    return None


def _run(network: ArrayNetwork, image: Float[Array, "b c h w"], scale: int) -> Float[Array, "b c H W"]:
    restored = network(image)
    expected = (*image.shape[:2], image.shape[2] * scale, image.shape[3] * scale)
    if restored.shape != expected:
        raise ValueError(f"the network made {tuple(restored.shape)} where {expected} was due")
    return alike(restored, image)
