"""Sparse global tokens: one a group of windows, attending among themselves."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from hfmoe.nn.cpu_ops import dot_product_attention


class GroupTokens(nn.Module):
    """Sparse global tokens, one for each group of windows.

    A token is the mean of `group` x `group` windows (fewer at the far borders); all tokens attend to
    each other; a window gets its group's. Cost: linear in pixels but for the small token attention.
    """

    def __init__(self, dim: int, *, heads: int, group: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.heads = heads
        self.group = group

    def forward(self, x: Float[Tensor, "b h w c"], *, window: int) -> Float[Tensor, "n 1 c"]:
        """Return the token of each window's group, windows in the order of `partition`."""
        means = F.avg_pool2d(rearrange(x, "b h w c -> b c h w"), window)
        pooled = group_means(means, self.group)
        tokens = rearrange(pooled, "b c y x -> b (y x) c")
        parts = rearrange(self.qkv(self.norm(tokens)), "b t (n h d) -> n b h t d", n=3, h=self.heads)
        attended = dot_product_attention(*(part.contiguous() for part in parts))
        tokens = tokens + self.out(rearrange(attended, "b h t d -> b t (h d)"))
        grid = rearrange(tokens, "b (y x) c -> b c y x", y=pooled.shape[2])
        of_row, of_column = (torch.arange(side, device=x.device) // self.group for side in means.shape[2:])
        spread = grid.index_select(2, of_row).index_select(3, of_column)
        return rearrange(spread, "b c y x -> (b y x) 1 c")


def group_means(x: Float[Tensor, "b c h w"], group: int) -> Float[Tensor, "b c y x"]:
    """Means of `group` x `group` squares, at the far borders of what there is of them."""
    vertical, horizontal = (group_shares(side, group).to(x) for side in x.shape[2:])
    return vertical @ x @ horizontal.T


def group_shares(length: int, group: int) -> Float[Tensor, "groups length"]:
    """Weight of each of `length` places in the mean of its group."""
    groups = torch.arange((length + group - 1) // group)
    mine = (torch.arange(length)[None, :] // group == groups[:, None]).float()
    return mine / mine.sum(1, keepdim=True)
