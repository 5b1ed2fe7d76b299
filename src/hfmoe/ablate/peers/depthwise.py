"""A network whose attention is made of large depthwise convolutions, in the manner of VapSR."""

import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from hfmoe.ablate.peers.body import Body
from hfmoe.nn.normalisation import ChannelLayerNorm
from hfmoe.nn.pointwise import pointwise_conv


class SpacedDepthwise(nn.Module):
    """A depthwise convolution dilated by `spacing`, as a plain one of the pixels that meet in it.

    The same sums as `nn.Conv2d(..., dilation=spacing)` with zeros around: a dilated kernel sees every
    `spacing`-th pixel, so it is a plain one on each of the spacing**2 images that those make. On a CPU torch
    computes dilated depthwise kernels without vectors, twenty times slower.
    """

    def __init__(self, dim: int, size: int, *, spacing: int) -> None:
        super().__init__()
        self.spacing = spacing
        self.conv = nn.Conv2d(dim, dim, size, padding=size // 2, groups=dim)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Convolve, keeping the size."""
        height, width = x.shape[2:]
        step = self.spacing
        pixels = rearrange(F.pad(x, (0, -width % step, 0, -height % step)), "b c h w -> b h w c")
        apart = rearrange(pixels, "b (h i) (w j) c -> (b i j) h w c", i=step, j=step)
        sums = rearrange(self.conv(rearrange(apart, "b h w c -> b c h w")), "b c h w -> b h w c")
        together = rearrange(sums, "(b i j) h w c -> b (h i) (w j) c", i=step, j=step)
        return rearrange(together, "b h w c -> b c h w")[:, :, :height, :width]


class DepthwiseAttentionBlock(nn.Module):
    """Features times a map that sees 17 x 17 pixels: 1x1, depthwise 5x5, depthwise 5x5 dilated by 3.

    Source: Zhou et al., "Efficient image super-resolution using vast-receptive-field attention", arXiv
    2210.05960; the map is large kernel attention's (arXiv 2202.09741).
    """

    def __init__(self, dim: int, *, hidden: int) -> None:
        super().__init__()
        self.enter = nn.Sequential(pointwise_conv(dim, hidden), nn.GELU())
        self.attention = nn.Sequential(
            pointwise_conv(hidden, hidden),
            nn.Conv2d(hidden, hidden, 5, padding=2, groups=hidden),
            SpacedDepthwise(hidden, 5, spacing=3),
        )
        self.leave = pointwise_conv(hidden, dim)
        self.norm = ChannelLayerNorm(dim)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Weigh features by their surroundings."""
        features = self.enter(x)
        return self.norm(self.leave(features * self.attention(features)) + x)


class DepthwiseAttentionNetwork(Body):
    """A stack of blocks whose attention is depthwise."""

    def __init__(
        self, *, dim: int = 24, hidden: int = 32, blocks: int = 6, scale: int = 4, channels: int = 3
    ) -> None:
        parts = [DepthwiseAttentionBlock(dim, hidden=hidden) for _ in range(blocks)]
        super().__init__(parts, dim=dim, scale=scale, channels=channels)
