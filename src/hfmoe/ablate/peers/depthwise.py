"""A network whose attention is made of large depthwise convolutions, in the manner of VapSR."""

from jaxtyping import Float
from torch import Tensor, nn

from hfmoe.ablate.peers.body import Body
from hfmoe.nn.normalisation import ChannelLayerNorm


class DepthwiseAttentionBlock(nn.Module):
    """Features times a map that sees 17 x 17 pixels: 1x1, depthwise 5x5, depthwise 5x5 dilated by 3.

    Source: Zhou et al., "Efficient image super-resolution using vast-receptive-field attention", arXiv
    2210.05960; the map is large kernel attention's (arXiv 2202.09741).
    """

    def __init__(self, dim: int, *, hidden: int) -> None:
        super().__init__()
        self.enter = nn.Sequential(nn.Conv2d(dim, hidden, 1), nn.GELU())
        self.attention = nn.Sequential(
            nn.Conv2d(hidden, hidden, 1),
            nn.Conv2d(hidden, hidden, 5, padding=2, groups=hidden),
            nn.Conv2d(hidden, hidden, 5, padding=6, dilation=3, groups=hidden),
        )
        self.leave = nn.Conv2d(hidden, dim, 1)
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
