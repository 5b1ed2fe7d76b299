"""Where a restored image is farthest from its target."""

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from einops import reduce, repeat
from jaxtyping import Float
from torch import Tensor

from hfmoe.evaluate.protocol import Pair
from hfmoe.image.depth import round_to_8bit
from hfmoe.image.resize import resize


class Crop(NamedTuple):
    """A square of one image: target, result and what the degraded image is without a network.

    mean_square: of the difference in 8-bit levels / 255, over the channels.
    """

    name: str
    top: int
    left: int
    target: Float[Tensor, "c h w"]
    restored: Float[Tensor, "c h w"]
    baseline: Float[Tensor, "c h w"]
    baseline_name: str
    mean_square: float


class Square(NamedTuple):
    """A part of an image in pixels, and the mean of what was looked for in it."""

    top: int
    left: int
    height: int
    width: int
    mean: float

    def place(self) -> tuple[Any, ...]:
        """What cuts it out of an image's last two axes."""
        down, across = slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)
        return (..., down, across)


def error_map(restored: Float[Tensor, "c h w"], target: Float[Tensor, "d h w"]) -> Float[Tensor, "h w"]:
    """Root mean square of the channels' differences at each pixel, both in 8-bit levels, in levels."""
    difference = round_to_8bit(restored) - round_to_8bit(target)
    return 255 * reduce(difference.square(), "c h w -> h w", "mean").sqrt()


def worst_crop(pair: Pair, restored: Float[Tensor, "1 c H W"], *, side: int, border: int) -> Crop:
    """The square of `side` pixels (of the whole side where that is less) with the largest error."""
    whole, target = restored[0], pair.target[0]
    square = largest_mean(error_map(whole, target).square() / 255**2, side=side, border=border)
    baseline = unrestored(pair)[0]
    channels = max(len(whole), len(target))
    shown = [_channels(image[square.place()], channels) for image in (target, whole, baseline)]
    name, mean = baseline_name(pair), square.mean
    return Crop(pair.name, square.top, square.left, shown[0], shown[1], shown[2], name, mean)


def largest_mean(values: Float[Tensor, "h w"], *, side: int, border: int = 0) -> Square:
    """The square of `side` pixels, or of the whole inner side where that is less, whose mean is largest.

    Of those that lie an eighth of their side apart, and those at the ends of rows and columns.
    """
    inner = tuple(length - 2 * border for length in values.shape)
    height, width = min(side, inner[0]), min(side, inner[1])
    kept = values[border : border + inner[0], border : border + inner[1]]
    step = max(1, side // 8)
    best = Square(border, border, height, width, -math.inf)
    for down in dict.fromkeys((0, inner[0] - height)):
        for across in dict.fromkeys((0, inner[1] - width)):
            means = F.avg_pool2d(kept[None, None, down:, across:], (height, width), stride=step)[0, 0]
            row, column = divmod(int(means.argmax()), means.shape[1])
            if (mean := float(means.max())) > best.mean:
                top, left = border + down + row * step, border + across + column * step
                best = Square(top, left, height, width, mean)
    return best


def unrestored(pair: Pair) -> Float[Tensor, "1 c H W"]:
    """The degraded image at the target's size: bicubic where it is smaller."""
    size = (pair.target.shape[-2], pair.target.shape[-1])
    same = pair.degraded.shape[-2:] == size
    return pair.degraded if same else resize(pair.degraded, size=size)


def baseline_name(pair: Pair) -> str:
    """What the unrestored image is called: "bicubic" where it had to be enlarged, else "input"."""
    return "input" if pair.degraded.shape[-2:] == pair.target.shape[-2:] else "bicubic"


def decibels(mean_square: float) -> float:
    """PSNR of a mean square of differences in [0, 1]."""
    return float(-10 * torch.log10(torch.tensor(mean_square, dtype=torch.float64)))


def _channels(image: Float[Tensor, "c h w"], channels: int) -> Float[Tensor, "d h w"]:
    return repeat(image, "1 h w -> d h w", d=channels) if len(image) < channels else image.clone()
