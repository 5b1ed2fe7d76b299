"""Peak signal-to-noise ratio."""

import torch
from einops import reduce
from jaxtyping import Float
from torch import Tensor

from hfmoe.image.resize import crop_border


def psnr(
    image: Float[Tensor, "b c h w"], target: Float[Tensor, "b c h w"], *, border: int = 0
) -> Float[Tensor, " b"]:
    """PSNR in dB of each image in [0, 1], over all channels, without `border` pixels on each side.

    Computed in float64; equal images give infinity. Nothing is rounded, clamped or converted here.
    """
    difference = crop_border(image, border=border).double() - crop_border(target, border=border).double()
    return -10 * torch.log10(reduce(difference.square(), "b c h w -> b", "mean"))
