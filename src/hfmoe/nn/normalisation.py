"""Norms over feature maps."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from hfmoe.nn.cpu_ops import exporting, rms_normalise


class ChannelLayerNorm(nn.Module):
    """Layer norm over the channels of each pixel (Ba et al. 2016)."""

    def __init__(self, dim: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))
        self.eps = eps

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Normalise each pixel."""
        if exporting():  # runtimes keep channels first, where moving them last costs two passes
            centred = x - x.mean(1, keepdim=True)
            deviation = torch.rsqrt((centred * centred).mean(1, keepdim=True) + self.eps)
            return centred * deviation * self.weight[:, None, None] + self.bias[:, None, None]
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
        return rms_normalise(x, eps=self.eps)


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
