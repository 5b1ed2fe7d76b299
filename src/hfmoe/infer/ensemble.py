"""The mean of the restorations of an image in its eight positions (Timofte et al., 2016)."""

from collections.abc import Callable

from jaxtyping import Float

from hfmoe.image.arrays import Array, copied, namespace
from hfmoe.infer.tiled import OnTile

POSITIONS = 8
_ROWS, _COLUMNS = -2, -1


def ensemble(
    restore: Callable[[Array, OnTile | None], Array],
    image: Float[Array, "b c h w"],
    *,
    on_tile: OnTile | None = None,
) -> Float[Array, "b c H W"]:
    """Restore the image turned and flipped, turn and flip each result back, and average them.

    The whole image is turned, not its tiles, so that tiles still equal the whole. on_tile counts the tiles
    of all eight.
    """
    total = None
    for position in range(POSITIONS):
        restored = undo(restore(turn(image, position), _counting(on_tile, position)), position)
        if total is None:
            total = copied(restored)
        else:
            total += restored
    assert total is not None
    total /= POSITIONS
    return total


def turn(image: Float[Array, "b c h w"], position: int) -> Float[Array, "b c H W"]:
    """The image in one of its eight positions: 0 to 3 quarter turns, then the same of its mirror image."""
    xp = namespace(image)
    mirrored = xp.flip(image, (_COLUMNS,)) if position >= 4 else image
    return copied(xp.rot90(mirrored, position % 4, (_ROWS, _COLUMNS)))


def undo(image: Float[Array, "b c H W"], position: int) -> Float[Array, "b c h w"]:
    """The inverse of `turn`."""
    xp = namespace(image)
    turned = xp.rot90(image, -(position % 4), (_ROWS, _COLUMNS))
    return xp.flip(turned, (_COLUMNS,)) if position >= 4 else turned


def _counting(on_tile: OnTile | None, position: int) -> OnTile | None:
    if on_tile is None:
        return None
    return lambda done, total: on_tile(position * total + done, POSITIONS * total)
