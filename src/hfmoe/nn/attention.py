"""Attention inside windows."""

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Bool, Float
from torch import Tensor, nn

from hfmoe.nn.cpu_ops import dot_product_attention
from hfmoe.nn.deformable import DeformableGrid
from hfmoe.nn.tokens import GroupTokens
from hfmoe.nn.windows import edge_kinds, merge, partition, shift, shift_mask, wrapped_sides


def relative_index(window: int) -> Tensor:
    """Row of the bias table for every pair of positions in a window, (window^2, window^2)."""
    side = torch.arange(window, device="cpu")
    position = torch.cartesian_prod(side, side)
    offset = position[:, None] - position[None, :] + window - 1
    index = offset[..., 0] * (2 * window - 1) + offset[..., 1]
    return index.to(torch.get_default_device())


class RelativeBias(nn.Module):
    """A learned number a head for each relative position in a window (Swin, arXiv 2103.14030)."""

    index: Tensor

    def __init__(self, window: int, heads: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.register_buffer("index", relative_index(window), persistent=False)

    def forward(self) -> Float[Tensor, "heads t t"]:
        """Return the bias of every pair of positions, by head."""
        return rearrange(self.table[self.index], "q k heads -> heads q k")


def attend(
    query: Float[Tensor, "n t c"],
    key: Float[Tensor, "n s c"],
    value: Float[Tensor, "n s c"],
    *,
    heads: int,
    bias: Float[Tensor, "m heads t s"],
) -> Float[Tensor, "n t c"]:
    """Multi-head attention of windows with an additive bias, one for all (m = 1) or for each (m = n)."""
    query, key, value = (
        rearrange(part, "n t (h d) -> n h t d", h=heads).contiguous() for part in (query, key, value)
    )
    out = dot_product_attention(query, key, value, bias.to(query.dtype))
    return rearrange(out, "n h t d -> n t (h d)")


def masked_bias(bias: Float[Tensor, "h t s"], mask: Bool[Tensor, "n t s"]) -> Float[Tensor, "n h t s"]:
    """Bias of each kind of window with forbidden pairs at minus infinity."""
    return bias[None].masked_fill(~mask[:, None], float("-inf"))


class WindowAttention(nn.Module):
    """Self-attention in (shifted) windows, with optional deformable keys and a global token.

    `shifted` rolls the map by half a window first; pairs that the roll made neighbours across
    opposite borders are masked. `reach` > 0 lets keys and values be read at learned offsets.
    `group` > 0 adds the window group's global token as one more key and value, for all but the tokens
    that the roll brought from the opposite border.
    """

    def __init__(
        self, dim: int, *, heads: int, window: int, shifted: bool, reach: float = 0.0, group: int = 0
    ) -> None:
        super().__init__()
        self.query = nn.Linear(dim, dim)
        self.keyvalue = nn.Linear(dim, 2 * dim)
        self.out = nn.Linear(dim, dim)
        self.bias = RelativeBias(window, heads)
        self.grid = DeformableGrid(dim, reach=reach) if reach else nn.Identity()
        self.tokens = GroupTokens(dim, heads=heads, group=group) if group else None
        self.heads = heads
        self.window = window
        self.by = window // 2 if shifted else 0

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        """Attend inside windows; height and width must be multiples of the window."""
        height, width = x.shape[1:3]
        source = self.grid(x)
        queries = partition(shift(x, by=self.by), window=self.window)
        keys = queries if source is x else partition(shift(source, by=self.by), window=self.window)
        bias = self._bias(x)
        if self.tokens is not None:
            keys = torch.cat((keys, self.tokens(x, window=self.window)), 1)
        key, value = self.keyvalue(keys).chunk(2, -1)
        attended = attend(self.query(queries), key, value, heads=self.heads, bias=bias)
        return shift(merge(self.out(attended), window=self.window, height=height, width=width), by=-self.by)

    def _bias(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "m heads t s"]:
        batch, height, width = x.shape[:3]
        token = 0 if self.tokens is None else 1
        bias = F.pad(self.bias(), (0, token))
        if not self.by:
            return bias[None]
        sides = wrapped_sides(window=self.window, by=self.by, device=x.device)
        mask = torch.cat((shift_mask(sides), (sides == 0)[..., None][..., :token]), -1)
        kinds = edge_kinds(height // self.window, width // self.window, device=x.device)
        return repeat(masked_bias(bias, mask)[kinds], "m h t s -> (b m) h t s", b=batch)
