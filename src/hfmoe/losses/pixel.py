"""Losses on pixel differences, averaged over all values."""

import torch
from jaxtyping import Float
from torch import Tensor


def l1(restored: Float[Tensor, "b c h w"], target: Float[Tensor, "b c h w"]) -> Float[Tensor, ""]:
    """Mean absolute error: mean |restored - target|."""
    return (restored - target).abs().mean()


def mse(restored: Float[Tensor, "b c h w"], target: Float[Tensor, "b c h w"]) -> Float[Tensor, ""]:
    """Mean squared error: mean (restored - target)^2; the optimum of PSNR."""
    return (restored - target).square().mean()


def charbonnier(
    restored: Float[Tensor, "b c h w"], target: Float[Tensor, "b c h w"], *, epsilon: float = 1e-3
) -> Float[Tensor, ""]:
    """Smooth L1: mean sqrt((restored - target)^2 + epsilon^2).

    Source: Charbonnier et al., "Two deterministic half-quadratic regularization algorithms", ICIP 1994;
    in this form in Lai et al., "Deep Laplacian Pyramid Networks", CVPR 2017 (epsilon 1e-3).
    """
    return torch.sqrt((restored - target).square() + epsilon**2).mean()
