"""Maps of a trace at the size of the image, and the ranges they are drawn in."""

from typing import NamedTuple

import torch
from einops import reduce
from jaxtyping import Float, Shaped
from torch import Tensor


class ColourRange(NamedTuple):
    """Values that are drawn darkest and brightest."""

    low: float
    high: float


def spread(values: Shaped[Tensor, "y x"], *, height: int, width: int, multiple: int) -> Shaped[Tensor, "h w"]:
    """A coarse map of an image padded to a multiple, each value repeated over its pixels, cropped to it."""
    padded = height + -height % multiple
    each = padded // values.shape[0]
    large = values.repeat_interleave(each, 0).repeat_interleave(each, 1)
    return large[:height, :width]


def span(values: Float[Tensor, "..."], *, share: float = 0.99) -> ColourRange:
    """From 0 to a value that this share of the map stays below; never an empty range."""
    flat = values.flatten().float()
    place = min(len(flat) - 1, int(share * len(flat)))
    return ColourRange(0.0, max(float(flat.sort().values[place]), 1e-12))


def filter_energy(kernels: Float[Tensor, "g t h w"]) -> Float[Tensor, "h w"]:
    """Root of the mean over groups of a pixel's sum of squared kernel values."""
    return reduce(kernels.square().sum(1), "g h w -> h w", "mean").sqrt()


def mean_kernels(kernels: Float[Tensor, "g t h w"]) -> Float[Tensor, "g k k"]:
    """Each group's mean kernel over the image."""
    size = round(kernels.shape[1] ** 0.5)
    return reduce(kernels, "g (i j) h w -> g i j", "mean", i=size)


def varied_kernels(kernels: Float[Tensor, "g t h w"]) -> Float[Tensor, "g k k"]:
    """Standard deviation over the image of each kernel value: 0 for a filter that is not dynamic."""
    size = round(kernels.shape[1] ** 0.5)
    deviation = kernels.flatten(2).std(2, correction=0)
    return torch.unflatten(deviation, 1, (size, size))
