"""Norms over feature maps."""

from typing import Any, cast

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class ChannelLayerNorm(nn.Module):
    """Layer norm over the channels of each pixel (Ba et al. 2016)."""

    def __init__(self, dim: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))
        self.eps = eps

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Normalise each pixel."""
        tokens = rearrange(x, "b c h w -> b h w c")
        tokens = F.layer_norm(tokens, self.weight.shape, self.weight, self.bias, self.eps)
        return rearrange(tokens, "b h w c -> b c h w")


class PixelRMSNorm(nn.Module):
    """Divide each pixel by the root mean square of its channels (RMSNorm, arXiv 1910.07467), without a gain.

    The convolution that follows learns the gain. `eps` is added to the mean square: it is the energy
    below which a pixel counts as flat and stays so. The mean square is taken in float32.
    """

    def __init__(self, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Normalise each pixel."""
        tokens = rearrange(x, "b c h w -> b h w c")
        return rearrange(cast(Tensor, RootMeanSquare.apply(tokens, self.eps)), "b h w c -> b c h w")


class RootMeanSquare(torch.autograd.Function):
    """x / sqrt(mean x^2 + eps) over the last dimension, with a backward pass of three passes over x.

    With y the result and g its gradient: (g - y mean(g y)) / sqrt(mean x^2 + eps).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> Tensor:
        """Normalise, and keep the result and the factor."""
        kind = torch.promote_types(x.dtype, torch.float32)
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=kind)
        inverse = norm.square_().div_(x.shape[-1]).add_(eps).rsqrt_().to(x.dtype)
        result = x * inverse
        ctx.save_for_backward(result, inverse)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Gradient of x."""
        result, inverse = ctx.saved_tensors
        along = (gradient * result).mean(-1, keepdim=True)
        return torch.addcmul(gradient, result, along, value=-1).mul_(inverse), None


class GlobalResponseNorm(nn.Module):
    """Global response norm: gamma (x N) + beta + x with N = G / mean_c G, G the L2 norm over H and W.

    Source: ConvNeXt V2, arXiv 2301.00808. gamma and beta start at 0, so it starts as the identity.
    A statistic of the whole image: a tile no longer equals its part of the whole.
    """

    def __init__(self, dim: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(dim, 1, 1))
        self.beta = nn.Parameter(torch.zeros(dim, 1, 1))
        self.eps = eps

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Weigh each channel by its share of the response."""
        energy = x.square().sum((2, 3), keepdim=True).add(self.eps**2).sqrt()
        response = energy / (energy.mean(1, keepdim=True) + self.eps)
        return self.gamma * (x * response) + self.beta + x


def build_norm(kind: str, dim: int) -> nn.Module:
    """Norm by name: "layer", "rms", "grn" or "none"; ValueError on any other."""
    if kind == "layer":
        return ChannelLayerNorm(dim)
    if kind == "rms":
        return PixelRMSNorm()
    if kind == "grn":
        return GlobalResponseNorm(dim)
    if kind == "none":
        return nn.Identity()
    raise ValueError(f"norm {kind!r} must be 'layer', 'rms', 'grn' or 'none'")
