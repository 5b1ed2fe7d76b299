"""Scoring the averaged weights while training."""

from collections.abc import Sequence
from itertools import islice
from statistics import fmean
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from hfmoe.evaluate.protocol import ClassicalSR, LumaSR
from hfmoe.models.config import HFMoEConfig
from hfmoe.models.folding import fold
from hfmoe.models.network import HFMoE
from hfmoe.train.recipe import Validation

Scoring = ClassicalSR | LumaSR


class Example(NamedTuple):
    """One validation photo."""

    name: str
    degraded: Float[Tensor, "1 c h w"]
    target: Float[Tensor, "1 c H W"]


class Validated(NamedTuple):
    """The mean PSNR on Y in dB, and the first restored pictures."""

    psnr_y: float
    restored: tuple[Tensor, ...]


def scoring(config: HFMoEConfig) -> Scoring:
    """Choose the protocol that scores a network while it trains."""
    return LumaSR(config.scale) if config.channels == 1 else ClassicalSR(config.scale)


def read_examples(fields: Validation, *, protocol: Scoring, scale: int) -> tuple[Example, ...]:
    """Read the photos to validate on, cropped to their centre if the recipe says so."""
    if fields.folder is None:
        return ()
    pairs = islice(protocol.pairs(fields.folder), fields.images)
    examples = (Example(*pair) for pair in pairs)
    return tuple(centre(example, crop=fields.crop, scale=scale) for example in examples)


def centre(example: Example, *, crop: int | None, scale: int) -> Example:
    """Keep the central crop x crop pixels of the target, cut to a multiple of the scale, and their origin."""
    if crop is None:
        return example
    whole = example.degraded.shape[-2:]
    height, width = (min(size, crop // scale) for size in whole)
    top, left = (whole[0] - height) // 2, (whole[1] - width) // 2
    degraded = example.degraded[..., top : top + height, left : left + width]
    top, left, height, width = (number * scale for number in (top, left, height, width))
    return Example(example.name, degraded, example.target[..., top : top + height, left : left + width])


@torch.inference_mode()
def validate(network: HFMoE, examples: Sequence[Example], *, protocol: Scoring, keep: int = 0) -> Validated:
    """Restore every example with the folded network; keep the first pictures to look at."""
    folded = fold(network).eval()
    device = next(network.parameters()).device
    scores, kept = [], []
    for example in examples:
        restored = folded(example.degraded.to(device)).image.float().cpu()
        scores.append(protocol.score(restored, example.target).psnr_y)
        if len(kept) < keep:
            kept.append(restored)
    return Validated(fmean(scores), tuple(kept))


def side_by_side(example: Example, restored: Float[Tensor, "1 c H W"]) -> Float[Tensor, "3 H W3"]:
    """Put degraded (enlarged without smoothing), restored and target next to each other."""
    enlarged = F.interpolate(example.degraded, size=example.target.shape[-2:], mode="nearest")
    colours = [image.expand(1, 3, -1, -1) for image in (enlarged, restored, example.target)]
    return rearrange(colours, "n 1 c h w -> c h (n w)")
