"""Restore a tensor whole or tile by tile."""

from collections.abc import Callable

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from hfmoe.infer.tiles import Tile, Tiling, blend_weights, cut

Restore = Callable[[Tensor], Tensor]
OnTile = Callable[[int, int], None]
"""Called after each tile with the tiles done and the tiles in all."""


@torch.no_grad()
def restore_tensor(
    network: Restore,
    image: Float[Tensor, "b c h w"],
    *,
    scale: int,
    multiple: int,
    halo: int,
    tile: int | None,
    overlap: int = 16,
    on_tile: OnTile | None = None,
) -> Float[Tensor, "b c H W"]:
    """Run network (image -> image `scale` times as large) whole, or in tiles of at most `tile` pixels.

    Tiles begin on the grid of `multiple`; each sees `halo` more pixels than are used of it, and neighbours
    fade into each other over at least `overlap` pixels. The result is not clamped and lies where the image
    lies. Raises ValueError when the tile is too small for halo and overlap, or the network's result has
    another size.
    """
    height, width = image.shape[-2:]
    if tile is None or max(height, width) <= tile:
        restored = _run(network, image, scale)
        if on_tile:
            on_tile(1, 1)
        return restored
    margin = 2 * halo + overlap
    rows = cut(height, tile=tile, margin=margin, multiple=multiple)
    columns = cut(width, tile=tile, margin=margin, multiple=multiple)
    return _blend(network, image, Tiling(rows, columns), scale=scale, halo=halo, on_tile=on_tile)


def _blend(
    network: Restore,
    image: Float[Tensor, "b c h w"],
    tiling: Tiling,
    *,
    scale: int,
    halo: int,
    on_tile: OnTile | None,
) -> Float[Tensor, "b c H W"]:
    batch, _, height, width = image.shape
    vertical = blend_weights(tiling.rows, halo=halo, scale=scale)
    horizontal = blend_weights(tiling.columns, halo=halo, scale=scale)
    tiles = tiling.tiles()
    output = image.new_zeros(batch, image.shape[1], height * scale, width * scale)
    for done, tile in enumerate(tiles, start=1):
        restored = _run(network, _part(image, tile, 1), scale)
        weight = rearrange(vertical[tile.row], "h -> h 1") * horizontal[tile.column]
        _part(output, tile, scale).add_(restored * weight.to(restored))
        if on_tile:
            on_tile(done, len(tiles))
    return output


def _part(image: Float[Tensor, "b c h w"], tile: Tile, scale: int) -> Float[Tensor, "b c y x"]:
    y, x = tile.y, tile.x
    return image[..., y.start * scale : y.stop * scale, x.start * scale : x.stop * scale]


def _run(network: Restore, image: Float[Tensor, "b c h w"], scale: int) -> Float[Tensor, "b c H W"]:
    restored = network(image)
    expected = (*image.shape[:2], image.shape[2] * scale, image.shape[3] * scale)
    if restored.shape != expected:
        raise ValueError(f"the network made {tuple(restored.shape)} where {expected} was due")
    return restored.to(image)
