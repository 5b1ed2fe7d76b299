"""Pixel-shuffle upsampler with the interpolated input as its base."""

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from einops import einsum, rearrange
from jaxtyping import Float
from torch import Tensor, nn

from hfmoe.nn.cpu_ops import PointwiseConv, add_, add_pointwise_, enlarge, exporting, shuffle, subpixels


def bilinear_taps(scale: int) -> Float[Tensor, "scale 3"]:
    """Weights of the left, own and right pixel for each of `scale` sub-pixels in a row."""
    offset = (torch.arange(scale, device="cpu") + 0.5) / scale - 0.5
    return torch.stack(((-offset).clamp_min(0), 1 - offset.abs(), offset.clamp_min(0)), 1)


class BilinearBase(nn.Module):
    """Bilinear enlargement by `scale`, as the sub-pixel channels that `shuffle` expects.

    One 3x3 convolution at low resolution instead of an interpolation at the high one.
    """

    kernel: Tensor

    def __init__(self, channels: int, scale: int) -> None:
        super().__init__()
        taps = bilinear_taps(scale)
        kernel = einsum(torch.eye(channels, device="cpu"), taps, taps, "o c, y i, x j -> y x o c i j")
        kernel = kernel.to(torch.get_default_device())
        self.scale = scale
        self.register_buffer("kernel", rearrange(kernel, "y x o c i j -> (y x o) c i j"), persistent=False)

    def forward(
        self, image: Float[Tensor, "b c h w"], bias: Float[Tensor, " s"] | None = None
    ) -> Float[Tensor, "b s h w"]:
        """Return the sub-pixels of the enlarged image, plus `bias`."""
        padded = F.pad(image, (1, 1, 1, 1), mode="replicate")
        kernel = subpixels(self.kernel.to(image.dtype), by=self.scale)
        return F.conv2d(
            padded, kernel, None if bias is None else subpixels(bias.to(image.dtype), by=self.scale)
        )


def exactly(image: Tensor) -> AbstractContextManager[object]:
    """No autocast for this image's device (the meta device, where costs are counted, has none)."""
    return nullcontext() if image.is_meta or exporting() else torch.autocast(image.device.type, enabled=False)


class Upsampler(nn.Module):
    """Sub-pixel corrections plus the interpolated image, shuffled to the output size.

    `folding` is what the stem folded: those sub-pixels are in the corrections too. All of it happens in the
    image's own type, under autocast too: bfloat16 would round the image itself to steps of 1/256.
    """

    def __init__(self, dim: int, channels: int, *, scale: int, folding: int) -> None:
        super().__init__()
        self.project = PointwiseConv(dim, channels * (scale * folding) ** 2)
        self.base = BilinearBase(channels, scale) if scale > 1 else None
        self.scale = scale
        self.folding = folding

    def forward(
        self, features: Float[Tensor, "b d hf wf"], image: Float[Tensor, "b c h w"]
    ) -> Float[Tensor, "b c h2 w2"]:
        """Return the restored image: corrections of `features` over the enlarged `image`."""
        with exactly(image):
            if self.base is None or self.folding > 1:
                corrections = enlarge(features.to(image.dtype), self.project, by=self.folding)
                base = image if self.base is None else self.base(image)
                return shuffle(add_(corrections, base), by=self.scale)
            base = self.base(image, self.project.bias)
            weight = subpixels(self.project.weight, by=self.scale)
            return shuffle(add_pointwise_(base, features, weight), by=self.scale)
