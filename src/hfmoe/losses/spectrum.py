"""Losses on the spectrum."""

import torch
from jaxtyping import Float
from torch import Tensor


def fft_l1(restored: Float[Tensor, "b c h w"], target: Float[Tensor, "b c h w"]) -> Float[Tensor, ""]:
    """Mean absolute error of the real and imaginary parts of the orthonormal half-plane spectrum.

    mean |Re F(d)| and |Im F(d)| over the frequencies of rfft2 with norm="ortho", d = restored - target. The
    orthonormal scaling keeps its ratio to L1 at sqrt(1/2) for white errors of any size, where the
    un-normalised transform would grow with the patch. Source: Cho et al., "Rethinking Coarse-to-Fine
    Approach in Single Image Deblurring", ICCV 2021 (multi-scale frequency reconstruction loss).
    """
    spectrum = torch.fft.rfft2(restored - target, norm="ortho")
    return torch.view_as_real(spectrum).abs().mean()
