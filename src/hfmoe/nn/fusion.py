"""Cross-frequency fusion: each band asks the other inside aligned windows, then both are joined."""

from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from hfmoe.nn.attention import RelativeBias, attend
from hfmoe.nn.cpu_ops import PointwiseConv, add_to_view_, enlarge
from hfmoe.nn.windows import merge, partition

GATE_START = -2.0


class Gate(nn.Module):
    """Weigh an answer's channels with a sigmoid gate, seen from who asked, that starts small."""

    def __init__(self, asked: int, answer: int) -> None:
        super().__init__()
        self.gate = nn.Linear(asked, answer)
        nn.init.zeros_(self.gate.weight)
        nn.init.constant_(self.gate.bias, GATE_START)

    def forward(
        self, asked: Float[Tensor, "b h w a"], answer: Float[Tensor, "b h w r"]
    ) -> Float[Tensor, "b h w r"]:
        """Return the weighted answer."""
        return answer * self.gate(asked).sigmoid()


class Answers(NamedTuple):
    """Attention output of each band over the other, gated, on the low band's grid."""

    for_low: Float[Tensor, "b r h w"]
    for_high: Float[Tensor, "b r h w"]


class CrossAttention(nn.Module):
    """Windowed attention in both directions with `reduced` channels, on the low band's grid or a coarser one.

    `stride` positions of the low band's grid, a side, become one: the low band by their mean, the high band
    by a strided convolution. The answers are enlarged back.
    """

    def __init__(
        self, dim: int, low_dim: int, *, reduced: int, heads: int, window: int, stride: int = 1
    ) -> None:
        super().__init__()
        self.reduce_high = nn.Conv2d(dim, reduced, 2 * stride, stride=2 * stride)
        self.reduce_low = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.enlarge = nn.Upsample(scale_factor=stride, mode="bilinear") if stride > 1 else nn.Identity()
        self.low = nn.Linear(low_dim, 3 * reduced)
        self.high = nn.Linear(reduced, 3 * reduced)
        self.bias_low = RelativeBias(window, heads)
        self.bias_high = RelativeBias(window, heads)
        self.gate_low = Gate(low_dim, reduced)
        self.gate_high = Gate(reduced, reduced)
        self.heads = heads
        self.window = window
        self.width = reduced

    def forward(self, low: Float[Tensor, "b l h w"], high: Float[Tensor, "b c h2 w2"]) -> Answers:
        """Attend from each band to the other."""
        low_tokens = rearrange(self.reduce_low(low), "b c h w -> b h w c")
        size = {"window": self.window, "height": low_tokens.shape[1], "width": low_tokens.shape[2]}
        high_tokens = rearrange(self.reduce_high(high), "b c h w -> b h w c")
        query_l, key_l, value_l = partition(self.low(low_tokens), window=self.window).chunk(3, -1)
        query_h, key_h, value_h = partition(self.high(high_tokens), window=self.window).chunk(3, -1)
        from_high = attend(query_l, key_h, value_h, heads=self.heads, bias=self.bias_low()[None])
        from_low = attend(query_h, key_l, value_l, heads=self.heads, bias=self.bias_high()[None])
        for_low = self.gate_low(low_tokens, merge(from_high, **size))
        for_high = self.gate_high(high_tokens, merge(from_low, **size))
        return Answers(
            self.enlarge(rearrange(for_low, "b h w r -> b r h w")),
            self.enlarge(rearrange(for_high, "b h w r -> b r h w")),
        )


class Fusion(nn.Module):
    """Cross-attention (None: its ablation), then concatenation of both bands and answers, and 1x1.

    A 1x1 over a concatenation is the sum of 1x1s of its parts. All but the high band's run on the low
    band's grid, before the enlargement, and give each of the 2x2 pixels its own weights, by pixel shuffle.
    """

    def __init__(self, dim: int, low_dim: int, *, cross: CrossAttention | None) -> None:
        super().__init__()
        self.cross = cross
        known = low_dim if cross is None else low_dim + 2 * cross.width
        self.from_low = PointwiseConv(known, 4 * dim)
        self.from_high = PointwiseConv(dim, dim, bias=False)

    def forward(
        self, low: Float[Tensor, "b l h w"], high: Float[Tensor, "b c h2 w2"]
    ) -> Float[Tensor, "b c h2 w2"]:
        """Join the bands at full resolution."""
        known = low if self.cross is None else torch.cat((low, *self.cross(low, high)), 1)
        return add_to_view_(enlarge(known, self.from_low, by=2), self.from_high(high))
