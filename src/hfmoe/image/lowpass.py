"""The low frequencies of an enlarged image: a binomial low-pass, wider for larger scales."""

from math import comb

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor


def binomial(order: int) -> Float[Tensor, " taps"]:
    """The binomial coefficients of an even order as weights of sum 1, cut at four deviations."""
    reach = min(order // 2, 2 * round(order**0.5))
    middle = order // 2
    weights = torch.tensor(
        [comb(order, middle + step) for step in range(-reach, reach + 1)], dtype=torch.float64
    )
    return weights / weights.sum()


def low_pass(image: Float[Tensor, "b c h w"], *, scale: int) -> Float[Tensor, "b c h w"]:
    """The image without what is finer than about two input pixels, each `scale` pixels wide.

    A binomial kernel with a deviation of one input pixel (1 4 6 4 1 at scale 1); borders are repeated.
    """
    weights = binomial(4 * scale**2).to(image)
    reach, channels = len(weights) // 2, image.shape[1]
    row = rearrange(weights, "taps -> 1 1 1 taps").expand(channels, -1, -1, -1)
    column = rearrange(weights, "taps -> 1 1 taps 1").expand(channels, -1, -1, -1)
    image = F.conv2d(F.pad(image, (reach, reach, 0, 0), mode="replicate"), row, groups=channels)
    return F.conv2d(F.pad(image, (0, 0, reach, reach), mode="replicate"), column, groups=channels)
