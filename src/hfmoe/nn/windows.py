"""Square windows of a token map, and the mask that keeps shifted ones from wrapping around."""

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor


def partition(x: Float[Tensor, "b h w c"], *, window: int) -> Float[Tensor, "n t c"]:
    """Cut into windows, n = b (h / window) (w / window) of t = window^2 tokens; h and w must divide."""
    return rearrange(x, "b (y i) (x j) c -> (b y x) (i j) c", i=window, j=window)


def merge(
    windows: Float[Tensor, "n t c"], *, window: int, height: int, width: int
) -> Float[Tensor, "b h w c"]:
    """Inverse of `partition` for a map of `height` x `width`."""
    return rearrange(
        windows, "(b y x) (i j) c -> b (y i) (x j) c", y=height // window, x=width // window, i=window
    )


def shift(x: Float[Tensor, "b h w c"], *, by: int) -> Float[Tensor, "b h w c"]:
    """Roll up and left by `by` (negative: back)."""
    return x.roll((-by, -by), (1, 2)) if by else x


def wrapped_sides(*, window: int, by: int, device: torch.device) -> Int[Tensor, "4 t"]:
    """Which tokens of a window came around when the map was rolled by `by`, for its four kinds of window.

    Tokens: 0 none, 1 from the left, 2 from the top, 3 both. Kinds: 0 inside, 1 in the last column,
    2 in the last row, 3 in the last corner (`edge_kinds`).
    """
    late = (torch.arange(window, device=device) >= window - by).int()
    none = torch.zeros_like(late)
    sides = (2 * rows[:, None] + columns[None, :] for rows in (none, late) for columns in (none, late))
    return torch.stack([rearrange(side, "i j -> (i j)") for side in sides])


def edge_kinds(rows: int, columns: int, *, device: torch.device) -> Int[Tensor, " n"]:
    """Kind of each of `rows` x `columns` windows, as `wrapped_sides` numbers them."""
    last_row = torch.arange(rows, device=device) == rows - 1
    last_column = torch.arange(columns, device=device) == columns - 1
    return rearrange(2 * last_row[:, None] + last_column[None, :].int(), "y x -> (y x)")


def shift_mask(sides: Int[Tensor, "n t"]) -> Bool[Tensor, "n t t"]:
    """Which token pairs of each window were neighbours before the roll, by their `wrapped_sides`."""
    return sides[:, :, None] == sides[:, None, :]
