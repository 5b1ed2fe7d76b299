"""Deformable sampling: read a token map at its own grid plus learned, bounded offsets."""

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn


def sample(x: Float[Tensor, "b h w c"], offsets: Float[Tensor, "b h w 2"]) -> Float[Tensor, "b h w c"]:
    """Bilinear value of `x` at every grid point moved by its (dy, dx), in tokens, clamped to the map.

    Reference points lie on the grid and an interpolation with weight 0 returns its first end, so zero
    offsets return `x` bit for bit.
    """
    height, width = x.shape[1:3]
    y = torch.arange(height, device=x.device, dtype=offsets.dtype)[:, None] + offsets[..., 0]
    z = torch.arange(width, device=x.device, dtype=offsets.dtype)[None, :] + offsets[..., 1]
    y, z = y.clamp(0, height - 1), z.clamp(0, width - 1)
    top, left = y.detach().floor(), z.detach().floor()
    down, right = (y - top).unsqueeze(-1).to(x.dtype), (z - left).unsqueeze(-1).to(x.dtype)
    rows = (top.long(), (top.long() + 1).clamp_max(height - 1))
    columns = (left.long(), (left.long() + 1).clamp_max(width - 1))
    upper = _gather(x, rows[0], columns[0]).lerp(_gather(x, rows[0], columns[1]), right)
    lower = _gather(x, rows[1], columns[0]).lerp(_gather(x, rows[1], columns[1]), right)
    return upper.lerp(lower, down)


def _gather(
    x: Float[Tensor, "b h w c"], row: Int[Tensor, "b h w"], column: Int[Tensor, "b h w"]
) -> Float[Tensor, "b h w c"]:
    height, width = x.shape[1:3]
    start = torch.arange(x.shape[0], device=x.device)[:, None, None] * (height * width)
    flat = rearrange(x, "b h w c -> (b h w) c")
    return flat[start + row * width + column]


class DeformableGrid(nn.Module):
    """Predict offsets from each token, at most `reach` tokens long a side, and sample there.

    Starts at zero offsets: plain windows.
    """

    def __init__(self, dim: int, *, reach: float) -> None:
        super().__init__()
        self.offset = nn.Linear(dim, 2)
        nn.init.zeros_(self.offset.weight)
        nn.init.zeros_(self.offset.bias)
        self.reach = reach

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        """Sample the map at the predicted places."""
        return sample(x, self.reach * self.offset(x).float().tanh())
