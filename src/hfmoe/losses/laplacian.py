"""Losses on the bands of a fixed Laplacian pyramid."""

from typing import NamedTuple

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from hfmoe.nn.frequency import upsample


class Level(NamedTuple):
    """A low band at half the resolution and what it leaves."""

    low: Float[Tensor, "b c hl wl"]
    high: Float[Tensor, "b c h w"]


def split(image: Float[Tensor, "b c h w"]) -> Level:
    """Split into a binomial low band at half the resolution and what it leaves: the network's split at birth.

    Three 2x2 means in a row are the 4x4 binomial kernel [1 3 3 1] x [1 3 3 1] / 64. Borders are reflected, so
    a constant image has no high band. Sides are 2 or more and may be odd.
    """
    height, width = image.shape[2:]
    padded = F.pad(image, (1, 1 + width % 2, 1, 1 + height % 2), mode="reflect")
    low = F.avg_pool2d(F.avg_pool2d(F.avg_pool2d(padded, 2, 1), 2, 1), 2)
    return Level(low, image - upsample(low)[..., :height, :width])


def pyramid(image: Float[Tensor, "b c h w"], *, levels: int) -> list[Float[Tensor, "b c hl wl"]]:
    """List the bands from the finest to the coarsest, which is what the last low-pass left.

    Raises ValueError where a side is too small for so many levels.
    """
    if levels < 2 or min(image.shape[2:]) <= 2 ** (levels - 2):
        height, width = image.shape[2:]
        raise ValueError(
            f"levels {levels} must be 2 or more, and sides {height}x{width} above 2^(levels - 2)"
        )
    bands = []
    for _ in range(levels - 1):
        image, high = split(image)
        bands.append(high)
    return [*bands, image]


def laplacian_l1(
    restored: Float[Tensor, "b c h w"], target: Float[Tensor, "b c h w"], *, levels: int = 4
) -> Float[Tensor, ""]:
    """Sum over the levels of a Laplacian pyramid of the mean absolute error: sum_j mean |L_j(d)|.

    d = restored - target. Level j has 4^j times fewer values, so equal weights on means are the weights 2^2j
    on sums of the source: Bojanowski et al., "Optimizing the Latent Space of Generative Networks", ICML 2018;
    the pyramid: Burt and Adelson, "The Laplacian Pyramid as a Compact Image Code", 1983.
    """
    bands = pyramid(restored - target, levels=levels)
    return sum((band.abs().mean() for band in bands[1:]), bands[0].abs().mean())
