"""What all peers have around their blocks: a convolution, a long skip, and the upsampler of ours."""

from collections.abc import Iterable

from jaxtyping import Float
from torch import Tensor, nn

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
