"""A penalty on patterns that repeat with the period of a pixel shuffle."""

import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor


def grid_l1(
    restored: Float[Tensor, "b c h w"], target: Float[Tensor, "b c h w"], *, period: int, window: int = 32
) -> Float[Tensor, ""]:
    """Mean absolute part of the error that repeats every `period` pixels, in squares of `window` periods.

    Of the error at each of the period x period phases, the mean over a square, less the mean over the phases:
    0 for errors that know no grid, the amplitude of one that a network draws. Perceptual and adversarial
    losses, which teach such patterns, do not see it. Images of fewer than `window` periods count as one
    square; rows and columns beyond a multiple of the period do not count.
    """
    error = restored - target
    height, width = (side - side % period for side in error.shape[-2:])
    phases = rearrange(error[..., :height, :width], "b c (h s) (w t) -> b (c s t) h w", s=period, t=period)
    square = [min(window, side) for side in phases.shape[-2:]]
    means = F.avg_pool2d(phases, square, stride=[max(1, side // 2) for side in square])
    means = rearrange(means, "b (c p) h w -> b c p h w", p=period**2)
    return (means - means.mean(2, keepdim=True)).abs().mean()
