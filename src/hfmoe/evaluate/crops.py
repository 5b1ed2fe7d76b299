"""Where a restored image is farthest from its target."""

from typing import NamedTuple

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


def error_map(restored: Float[Tensor, "c h w"], target: Float[Tensor, "d h w"]) -> Float[Tensor, "h w"]:
    """Root mean square of the channels' differences at each pixel, both in 8-bit levels, in levels."""
    difference = round_to_8bit(restored) - round_to_8bit(target)
    return 255 * reduce(difference.square(), "c h w -> h w", "mean").sqrt()


def worst_crop(pair: Pair, restored: Float[Tensor, "1 c H W"], *, side: int, border: int) -> Crop:
    """The square of `side` pixels (of the whole side where that is less) with the largest error."""
    whole, target = restored[0], pair.target[0]
    inner = tuple(length - 2 * border for length in target.shape[-2:])
    size = (min(side, inner[0]), min(side, inner[1]))
    squares = error_map(whole, target).square() / 255**2
    kept = squares[border : border + inner[0], border : border + inner[1]]
    step = max(1, side // 8)
    means = F.avg_pool2d(kept[None, None], size, stride=step)[0, 0]
    row, column = divmod(int(means.argmax()), means.shape[1])
    top, left = border + row * step, border + column * step
    place = (..., slice(top, top + size[0]), slice(left, left + size[1]))
    baseline = unrestored(pair)[0]
    channels = max(len(whole), len(target))
    shown = [_channels(image[place], channels) for image in (target, whole, baseline)]
    return Crop(pair.name, top, left, shown[0], shown[1], shown[2], baseline_name(pair), float(means.max()))


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
