"""A plain network of re-parameterised 3x3 convolutions."""

from jaxtyping import Float
from torch import Tensor, nn

from hfmoe.nn.repconv import RepConv
from hfmoe.nn.upsampler import Upsampler


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
