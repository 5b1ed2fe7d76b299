"""The weight of fine detail in the error: what holds over-sharpening, or blur, in check."""

from jaxtyping import Float
from torch import Tensor

from hfmoe.losses.laplacian import split


def high_band_l1(
    restored: Float[Tensor, "b c h w"], target: Float[Tensor, "b c h w"], *, high_weight: float
) -> Float[Tensor, ""]:
    """Mean absolute error whose high band counts `high_weight` times: mean |low(d) + high_weight high(d)|.

    d = restored - target = low(d) + high(d), the high band being what a 4x4 binomial low-pass of stride 2,
    enlarged again, leaves. 1 gives L1. Above 1, detail that is not in the target (halos, ringing) and detail
    that is missing cost more; below 1 they cost less. Source: the HF loss weight of the HF-MoE-IR
    specification, against over-sharpening by the high-frequency branch.
    """
    error = restored - target
    return (error + (high_weight - 1) * split(error).high).abs().mean()
