"""Cross-frequency fusion: each band asks the other inside aligned windows, then both are joined."""

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from hfmoe.nn.attention import RelativeBias, attend
from hfmoe.nn.windows import merge, partition

GATE_START = -2.0


class Gate(nn.Module):
    """Project an answer to `dim` channels and weigh it with a sigmoid gate that starts small."""

    def __init__(self, asked: int, answer: int, dim: int) -> None:
        super().__init__()
        self.project = nn.Linear(answer, dim)
        self.gate = nn.Linear(asked, dim)
        nn.init.zeros_(self.gate.weight)
        nn.init.constant_(self.gate.bias, GATE_START)

    def forward(
        self, asked: Float[Tensor, "b h w a"], answer: Float[Tensor, "b h w r"]
    ) -> Float[Tensor, "b h w c"]:
        """Give the weighted answer, to be added to who asked."""
        return self.project(answer) * self.gate(asked).sigmoid()


class CrossAttention(nn.Module):
    """Windowed attention in both directions on the low band's grid, with `reduced` channels.

    The high band comes to that grid through a 2x2 stride-2 convolution and returns by repeating.
    """

    def __init__(self, dim: int, low_dim: int, *, reduced: int, heads: int, window: int) -> None:
        super().__init__()
        self.reduce_high = nn.Conv2d(dim, reduced, 2, stride=2)
        self.low = nn.Linear(low_dim, 3 * reduced)
        self.high = nn.Linear(reduced, 3 * reduced)
        self.bias_low = RelativeBias(window, heads)
        self.bias_high = RelativeBias(window, heads)
        self.to_low = Gate(low_dim, reduced, low_dim)
        self.to_high = Gate(reduced, reduced, dim)
        self.heads = heads
        self.window = window

    def forward(
        self, low: Float[Tensor, "b l h w"], high: Float[Tensor, "b c h2 w2"]
    ) -> tuple[Float[Tensor, "b l h w"], Float[Tensor, "b c h2 w2"]]:
        """Give both bands, each with what it learned from the other."""
        size = {"height": low.shape[2], "width": low.shape[3]}
        low_tokens = rearrange(low, "b c h w -> b h w c")
        high_tokens = rearrange(self.reduce_high(high), "b c h w -> b h w c")
        query_l, key_l, value_l = partition(self.low(low_tokens), window=self.window).chunk(3, -1)
        query_h, key_h, value_h = partition(self.high(high_tokens), window=self.window).chunk(3, -1)
        from_high = attend(query_l, key_h, value_h, heads=self.heads, bias=self.bias_low()[None])
        from_low = attend(query_h, key_l, value_l, heads=self.heads, bias=self.bias_high()[None])
        more_low = self.to_low(low_tokens, merge(from_high, **size))
        more_high = self.to_high(high_tokens, merge(from_low, **size))
        spread = nn.functional.interpolate(
            rearrange(more_high, "b h w c -> b c h w"), scale_factor=2, mode="nearest"
        )
        return rearrange(more_low, "b h w c -> b c h w").add_(low), spread.add_(high)


class NoCrossAttention(nn.Module):
    """Ablation: the bands do not ask each other."""

    def forward(
        self, low: Float[Tensor, "b l h w"], high: Float[Tensor, "b c h2 w2"]
    ) -> tuple[Float[Tensor, "b l h w"], Float[Tensor, "b c h2 w2"]]:
        """Give both bands as they are."""
        return low, high


class Fusion(nn.Module):
    """Cross-attention, then concatenation of the enlarged low band with the high one and 1x1.

    A 1x1 over a concatenation is the sum of two 1x1; the low one runs before the enlargement (and
    gives each of the 2x2 pixels its own weights, by pixel shuffle).
    """

    def __init__(self, dim: int, low_dim: int, *, cross: nn.Module) -> None:
        super().__init__()
        self.cross = cross
        self.from_low = nn.Sequential(nn.Conv2d(low_dim, 4 * dim, 1), nn.PixelShuffle(2))
        self.from_high = nn.Conv2d(dim, dim, 1)

    def forward(
        self, low: Float[Tensor, "b l h w"], high: Float[Tensor, "b c h2 w2"]
    ) -> Float[Tensor, "b c h2 w2"]:
        """Join the bands at full resolution."""
        low, high = self.cross(low, high)
        return self.from_high(high).add_(self.from_low(low))
