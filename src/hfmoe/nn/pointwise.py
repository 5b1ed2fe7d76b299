"""1x1 convolutions, by the fastest path that torch has for them on a CPU."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

DILATION = 2
"""Of a 1x1 kernel a dilation changes nothing, but with one torch takes oneDNN on a single thread too, which
is two to three times as fast there as the matrix product that it takes otherwise."""


def pointwise_conv(dim: int, out: int, *, bias: bool = True) -> nn.Conv2d:
    """A 1x1 convolution of `dim` channels to `out`."""
    return nn.Conv2d(dim, out, 1, dilation=DILATION, bias=bias)


def pointwise(
    x: Float[Tensor, "b i h w"], weight: Float[Tensor, "o i 1 1"], bias: Float[Tensor, " o"] | None = None
) -> Float[Tensor, "b o h w"]:
    """1x1 convolution by a given kernel, in the type of x."""
    dilation = 1 if torch.compiler.is_exporting() else DILATION
    return F.conv2d(x, weight.to(x.dtype), None if bias is None else bias.to(x.dtype), dilation=dilation)


def add_pointwise_(
    x: Float[Tensor, "b o h w"], y: Float[Tensor, "b i h w"], weight: Float[Tensor, "o i 1 1"]
) -> Float[Tensor, "b o h w"]:
    """x + 1x1 convolution of y, in the type of x; x is overwritten, so it must be the caller's own."""
    return x.add_(pointwise(y.to(x.dtype), weight))


def summed(x: Float[Tensor, "b c h w"], y: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """x + y, written into x where no gradient is recorded, so x must be the caller's own.

    For an x that is a view, such as a shuffled map: its gradient after a sum in place costs three copies.
    """
    return x + y if torch.is_grad_enabled() else x.add_(y)
