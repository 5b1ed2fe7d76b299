"""A network of gated depthwise blocks with channel attention, in the manner of NAFNet."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hfmoe.ablate.peers.body import Body
from hfmoe.nn.normalisation import ChannelLayerNorm
from hfmoe.nn.pointwise import pointwise_conv
from hfmoe.nn.texture import ConvGate


class GatedBlock(nn.Module):
    """NAFNet's block: no activation but products, and one number a channel from the whole image.

    Source: Chen et al., "Simple baselines for image restoration", arXiv 2204.04676. Both residual scales
    start at 0.
    """

    def __init__(self, dim: int, *, expand: int = 2) -> None:
        super().__init__()
        wide = expand * dim
        self.spatial = nn.Sequential(
            ChannelLayerNorm(dim),
            pointwise_conv(dim, wide),
            nn.Conv2d(wide, wide, 3, padding=1, groups=wide),
            ConvGate(),
        )
        self.attention = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(wide // 2, wide // 2, 1))
        self.project = pointwise_conv(wide // 2, dim)
        self.feed = nn.Sequential(
            ChannelLayerNorm(dim), pointwise_conv(dim, wide), ConvGate(), pointwise_conv(wide // 2, dim)
        )
        self.beta = nn.Parameter(torch.zeros(dim, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(dim, 1, 1))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Mix over space, then over channels."""
        detail = self.spatial(x)
        x = x + self.beta * self.project(detail * self.attention(detail))
        return x + self.gamma * self.feed(x)


class GatedNetwork(Body):
    """NAFNet's blocks at one resolution, as NAFSSR uses them for super-resolution (arXiv 2204.08714)."""

    def __init__(
        self, *, dim: int = 24, blocks: int = 6, expand: int = 2, scale: int = 4, channels: int = 3
    ) -> None:
        parts = [GatedBlock(dim, expand=expand) for _ in range(blocks)]
        super().__init__(parts, dim=dim, scale=scale, channels=channels)
