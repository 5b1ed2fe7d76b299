"""Pixel-shuffle upsampler with the interpolated input as its base."""

import torch
import torch.nn.functional as F
from einops import einsum, rearrange
from jaxtyping import Float
from torch import Tensor, nn


def bilinear_taps(scale: int) -> Float[Tensor, "scale 3"]:
    """Weights of the left, own and right pixel for each of `scale` sub-pixels in a row."""
    offset = (torch.arange(scale) + 0.5) / scale - 0.5
    return torch.stack(((-offset).clamp_min(0), 1 - offset.abs(), offset.clamp_min(0)), 1)


class BilinearBase(nn.Module):
    """Bilinear enlargement by `scale`, as the sub-pixel channels that a pixel shuffle expects.

    One 3x3 convolution at low resolution instead of an interpolation at the high one.
    """

    kernel: Tensor

    def __init__(self, channels: int, scale: int) -> None:
        super().__init__()
        taps = bilinear_taps(scale)
        kernel = einsum(torch.eye(channels), taps, taps, "o c, y i, x j -> o y x c i j")
        self.register_buffer("kernel", rearrange(kernel, "o y x c i j -> (o y x) c i j"), persistent=False)

    def forward(self, image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b s h w"]:
        padded = F.pad(image, (1, 1, 1, 1), mode="replicate")
        return F.conv2d(padded, self.kernel.to(image.dtype))


class Upsampler(nn.Module):
    """Sub-pixel corrections plus the interpolated image, shuffled to the output size.

    `folding` is what the stem folded: those sub-pixels are in the corrections too.
    """

    def __init__(self, dim: int, channels: int, *, scale: int, folding: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(dim, channels * (scale * folding) ** 2, 1)
        self.base = BilinearBase(channels, scale) if scale > 1 else nn.Identity()
        self.unfold = nn.PixelShuffle(folding) if folding > 1 else nn.Identity()
        self.shuffle = nn.PixelShuffle(scale) if scale > 1 else nn.Identity()

    def forward(
        self, features: Float[Tensor, "b d hf wf"], image: Float[Tensor, "b c h w"]
    ) -> Float[Tensor, "b c h2 w2"]:
        return self.shuffle(self.unfold(self.project(features)) + self.base(image))
