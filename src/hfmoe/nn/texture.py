"""Conv-gated texture block: local detail with a multiplicative gate, purely convolutional."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hfmoe.nn.cpu_ops import PointwiseConv, add_, gate, pointwise
from hfmoe.nn.normalisation import build_norm
from hfmoe.nn.repconv import RepConv, fixed_conv


class ConvGate(nn.Module):
    """Halve the channels by multiplying one half with the other (NAFNet, arXiv 2204.04676)."""

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        """Multiply the halves."""
        return gate(x)


class ScaledConv(nn.Module):
    """1x1 convolution times a learned residual scale per output channel.

    The scale multiplies the kernel, not the map: the same output and gradients, one pass less.
    """

    def __init__(self, dim: int, out: int, *, scale: float) -> None:
        super().__init__()
        self.conv = PointwiseConv(dim, out)
        self.scale = nn.Parameter(torch.full((out,), scale))

    def forward(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o h w"]:
        """Convolve with the scaled kernel."""
        weight, bias = self.collapsed()
        return pointwise(x, weight, bias)

    def collapsed(self) -> tuple[Float[Tensor, "o i 1 1"], Float[Tensor, " o"]]:
        """Kernel and bias with the scale multiplied in."""
        return self.scale[:, None, None, None] * self.conv.weight, self.scale * self.conv.bias  # type: ignore[operator]

    def fold(self) -> nn.Conv2d:
        """An ordinary convolution with the same output."""
        return fixed_conv(*self.collapsed(), padding=0)


class TextureBlock(nn.Module):
    """x + scale * gated convolutions of x; no statistic reaches beyond its 3x3 neighbourhood.

    kind "depthwise": norm -> 1x1 to 2 * hidden -> depthwise 3x3 -> gate -> 1x1;
    kind "dense": norm -> dense 3x3 to 2 * hidden -> gate -> 1x1;
    kind "rep": as dense, the 3x3 re-parameterised: branches while learning, one kernel at use.
    """

    def __init__(self, dim: int, *, hidden: int, kind: str, norm: str, residual_scale: float) -> None:
        super().__init__()
        wide = 2 * hidden
        layers: list[nn.Module]
        if kind == "depthwise":
            layers = [PointwiseConv(dim, wide), nn.Conv2d(wide, wide, 3, padding=1, groups=wide)]
        elif kind == "dense":
            layers = [nn.Conv2d(dim, wide, 3, padding=1)]
        elif kind == "rep":
            layers = [RepConv(dim, wide)]
        else:
            raise ValueError(f"texture kind {kind!r} must be 'depthwise', 'dense' or 'rep'")
        self.body = nn.Sequential(build_norm(norm, dim), *layers, ConvGate())
        self.out = ScaledConv(hidden, dim, scale=residual_scale)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Add local detail to `x`."""
        return add_(self.out(self.body(x)), x)
