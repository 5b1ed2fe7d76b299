"""Square windows of a token map, and the mask that keeps shifted ones from wrapping around."""

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor


def partition(x: Float[Tensor, "b h w c"], *, window: int) -> Float[Tensor, "n t c"]:
    """Cut into windows, n = b (h / window) (w / window) of t = window^2 tokens; h and w must divide."""
    return rearrange(x, "b (y i) (x j) c -> (b y x) (i j) c", i=window, j=window)


def merge(windows: Float[Tensor, "n t c"], *, height: int, width: int) -> Float[Tensor, "b h w c"]:
    """Inverse of `partition` for a map of `height` x `width`."""
    window = round(windows.shape[1] ** 0.5)
    return rearrange(
        windows, "(b y x) (i j) c -> b (y i) (x j) c", y=height // window, x=width // window, i=window
    )


def shift(x: Float[Tensor, "b h w c"], *, by: int) -> Float[Tensor, "b h w c"]:
    """Roll up and left by `by` (negative: back)."""
    return x.roll((-by, -by), (1, 2)) if by else x


def wrapped_sides(
    height: int, width: int, *, window: int, by: int, device: torch.device
) -> Int[Tensor, "n t"]:
    """For each window of a map rolled by `by`, which tokens came around: 0 none, 1 left, 2 top, 3 both."""
    rows = (torch.arange(height, device=device) >= height - by).int()
    columns = (torch.arange(width, device=device) >= width - by).int()
    side = rows[:, None] * 2 + columns[None, :]
    return rearrange(side, "(y i) (x j) -> (y x) (i j)", i=window, j=window)


def shift_mask(sides: Int[Tensor, "n t"]) -> Bool[Tensor, "n t t"]:
    """Which token pairs of each window were neighbours before the roll, by their `wrapped_sides`."""
    return sides[:, :, None] == sides[:, None, :]
