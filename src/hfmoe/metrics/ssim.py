"""Structural similarity: Wang et al., "Image quality assessment", 2004, with its Gaussian window."""

import torch
from einops import reduce
from jaxtyping import Float
from torch import Tensor

from hfmoe.image.resize import crop_border

WINDOW = 11
_SIGMA = 1.5
_C1 = 0.01**2
_C2 = 0.03**2


def ssim(
    image: Float[Tensor, "b c h w"], target: Float[Tensor, "b c h w"], *, border: int = 0
) -> Float[Tensor, " b"]:
    """SSIM of each image in [0, 1], the mean over channels and over full 11 x 11 windows.

    As in the super-resolution papers: Gaussian of sigma 1.5, K1 = .01, K2 = .03, a range of 1,
    windows inside the image alone, `border` pixels dropped on each side first; float64.
    Raises ValueError when fewer than 11 x 11 pixels are left.
    """
    x, y = crop_border(image, border=border).double(), crop_border(target, border=border).double()
    height, width = x.shape[-2:]
    if min(height, width) < WINDOW:
        raise ValueError(f"SSIM needs {WINDOW} x {WINDOW} pixels, {height} x {width} are left in the border")
    mean_x, mean_y, square_x, square_y, product = _blur(torch.stack([x, y, x * x, y * y, x * y]))
    variances = square_x - mean_x**2 + square_y - mean_y**2
    covariance = product - mean_x * mean_y
    likeness = (2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)
    return reduce(likeness / ((mean_x**2 + mean_y**2 + _C1) * (variances + _C2)), "b c h w -> b", "mean")


def _blur(maps: Float[Tensor, "*b h w"]) -> Float[Tensor, "*b H W"]:
    """Gaussian means of the windows that lie inside, one axis after the other."""
    taps = torch.exp(-((torch.arange(WINDOW, dtype=maps.dtype) - WINDOW // 2) ** 2) / (2 * _SIGMA**2))
    weights = (taps / taps.sum()).tolist()
    rows = _weighted_sum(maps, weights, axis=-2)
    return _weighted_sum(rows, weights, axis=-1)


def _weighted_sum(
    maps: Float[Tensor, "*b h w"], weights: list[float], *, axis: int
) -> Float[Tensor, "*b H W"]:
    """Sums in place: a pass over memory a tap, several times faster here than a float64 convolution."""
    length = maps.shape[axis] - WINDOW + 1
    total = weights[0] * maps.narrow(axis, 0, length)
    for start in range(1, WINDOW):
        total.add_(maps.narrow(axis, start, length), alpha=weights[start])
    return total
