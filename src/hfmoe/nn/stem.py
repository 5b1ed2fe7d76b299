"""Shallow stem: one 3x3 convolution and a norm."""

from jaxtyping import Float
from torch import Tensor, nn

from hfmoe.nn.normalisation import build_norm


class Stem(nn.Module):
    """Lift an image to features; `unshuffle` 2 first folds 2x2 pixels into channels (for scale 1)."""

    def __init__(self, channels: int, dim: int, *, norm: str, unshuffle: int = 1) -> None:
        super().__init__()
        self.unshuffle = nn.PixelUnshuffle(unshuffle) if unshuffle > 1 else nn.Identity()
        self.conv = nn.Conv2d(channels * unshuffle**2, dim, 3, padding=1)
        self.norm = build_norm(norm, dim)

    def forward(self, image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d hs ws"]:
        """Lift an image whose sides are multiples of `unshuffle`."""
        return self.norm(self.conv(self.unshuffle(image)))
