"""Baselines: small networks in the manner of others', to compare ours with under the same budget.

Each takes keyword numbers and ends in the upsampler of ours, so that they differ in their bodies alone.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from hfmoe.models.network import pad_to_multiple
from hfmoe.nn.attention import WindowAttention
from hfmoe.nn.cpu_ops import PointwiseConv
from hfmoe.nn.normalisation import ChannelLayerNorm
from hfmoe.nn.repconv import RepConv
from hfmoe.nn.texture import ConvGate
from hfmoe.nn.upsampler import Upsampler


class Body(nn.Module):
    """3x3 convolution -> blocks -> 3x3 convolution, plus what went in -> corrections of the big image."""

    def __init__(self, blocks: Iterable[nn.Module], *, dim: int, scale: int, channels: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, dim, 3, padding=1)
        self.blocks = nn.Sequential(*blocks)
        self.last = nn.Conv2d(dim, dim, 3, padding=1)
        self.upsampler = Upsampler(dim, channels, scale=scale, folding=1)

    def forward(self, image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
        """Restore images in [0, 1]."""
        features = self.stem(image)
        return self.upsampler(self.last(self.blocks(features)) + features, image)


class PlainNetwork(nn.Module):
    """A straight stack of 3x3 convolutions that are branches while they learn, with PReLU between.

    Lineage: ECBSR (Zhang et al., "Edge-oriented convolution block for real-time super resolution on mobile
    devices", 2021), with the branches of RepVGG (arXiv 2101.03697).
    """

    def __init__(self, *, dim: int = 32, blocks: int = 6, scale: int = 4, channels: int = 3) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(channels, dim, 3, padding=1), nn.PReLU(dim))
        self.blocks = nn.Sequential(
            *(part for _ in range(blocks) for part in (RepConv(dim, dim), nn.PReLU(dim)))
        )
        self.upsampler = Upsampler(dim, channels, scale=scale, folding=1)

    def forward(self, image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
        """Restore images in [0, 1]."""
        return self.upsampler(self.blocks(self.stem(image)), image)


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
            PointwiseConv(dim, wide),
            nn.Conv2d(wide, wide, 3, padding=1, groups=wide),
            ConvGate(),
        )
        self.attention = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(wide // 2, wide // 2, 1))
        self.project = PointwiseConv(wide // 2, dim)
        self.feed = nn.Sequential(
            ChannelLayerNorm(dim), PointwiseConv(dim, wide), ConvGate(), PointwiseConv(wide // 2, dim)
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
        self.enter = nn.Sequential(PointwiseConv(dim, hidden), nn.GELU())
        self.attention = nn.Sequential(
            PointwiseConv(hidden, hidden),
            nn.Conv2d(hidden, hidden, 5, padding=2, groups=hidden),
            SpacedDepthwise(hidden, 5, spacing=3),
        )
        self.leave = PointwiseConv(hidden, dim)
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


class WindowedBlock(nn.Module):
    """Swin's layer: attention in windows, then a two-layer perceptron, each behind a layer norm."""

    def __init__(self, dim: int, *, heads: int, window: int, shifted: bool, expand: float) -> None:
        super().__init__()
        hidden = round(expand * dim)
        self.norm1 = nn.LayerNorm(dim)
        self.attention = WindowAttention(dim, heads=heads, window=window, shifted=shifted)
        self.norm2 = nn.LayerNorm(dim)
        self.perceptron = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        """Attend, then transform each token."""
        x = x + self.attention(self.norm1(x))
        return x + self.perceptron(self.norm2(x))


class WindowedGroup(nn.Module):
    """SwinIR's residual group: layers whose windows alternate, a 3x3 convolution, plus what went in."""

    def __init__(self, dim: int, *, layers: int, heads: int, window: int, expand: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(
                WindowedBlock(dim, heads=heads, window=window, shifted=place % 2 == 1, expand=expand)
                for place in range(layers)
            )
        )
        self.last = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Attend over the map."""
        tokens = self.layers(rearrange(x, "b c h w -> b h w c"))
        return self.last(rearrange(tokens, "b h w c -> b c h w")) + x


class WindowedNetwork(Body):
    """SwinIR: groups of shifted-window attention at full resolution.

    Source: Liang et al., "SwinIR: image restoration using Swin transformer", arXiv 2108.10257.
    """

    def __init__(
        self,
        *,
        dim: int = 24,
        groups: int = 2,
        layers: int = 2,
        heads: int = 2,
        window: int = 8,
        expand: float = 2.0,
        scale: int = 4,
        channels: int = 3,
    ) -> None:
        parts = [
            WindowedGroup(dim, layers=layers, heads=heads, window=window, expand=expand)
            for _ in range(groups)
        ]
        super().__init__(parts, dim=dim, scale=scale, channels=channels)
        self.window = window
        self.scale = scale

    def forward(self, image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
        """Restore images in [0, 1]; sides are padded to multiples of the window."""
        height, width = image.shape[2:]
        restored = super().forward(pad_to_multiple(image, self.window))
        return restored[:, :, : height * self.scale, : width * self.scale]
