"""Batches of pairs as a pure function of (seed, step)."""

from typing import NamedTuple

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor

from hfmoe.data.photos import PhotoSet
from hfmoe.data.samples import Mixture, Sample, draw, draw_sample, gather, make_sample, stack


class Pair(NamedTuple):
    """A batch in [0, 1], in channels-last memory: what the network sees and what it should give back."""

    degraded: Float[Tensor, "b c h w"]
    target: Float[Tensor, "b c H W"]


def batch(
    photos: PhotoSet,
    *,
    seed: int,
    step: int,
    size: int,
    patch: int,
    part: int = 0,
    parts: int = 1,
    mixture: Mixture | None = None,
) -> Pair:
    """Return the batch of a step; with `parts` processes, the share of it that belongs to process `part`.

    `size` counts the samples of all parts together, so one process and many see the same samples.
    Without a mixture, the degraded sides of the photos are used as they are.
    """
    if mixture is None:
        crops = draw(photos, seed=seed, step=step, size=size, patch=patch)[part::parts]
        return Pair(*map(_unit_range, gather(photos, crops, patch=patch)))
    samples = draw_samples(
        photos, mixture, seed=seed, step=step, size=size, patch=patch, part=part, parts=parts
    )
    made = [make_sample(photos, sample, patch=patch) for sample in samples]
    return Pair(stack([each.degraded for each in made]), stack([each.target for each in made]))


def draw_samples(
    photos: PhotoSet,
    mixture: Mixture,
    *,
    seed: int,
    step: int,
    size: int,
    patch: int,
    part: int = 0,
    parts: int = 1,
) -> list[Sample]:
    """Choose the crops of a step as `draw` does, and what is done to each that belongs to process `part`."""
    crops = list(enumerate(draw(photos, seed=seed, step=step, size=size, patch=patch)))
    return [
        draw_sample(photos, crop, mixture, seed=seed, step=step, number=number, patch=patch)
        for number, crop in crops[part::parts]
    ]


def _unit_range(images: UInt8[np.ndarray, "b h w c"]) -> Float[Tensor, "b c h w"]:
    """Divide in numpy: one pass in this thread, so that torch's threads stay with the training step."""
    unit = np.divide(images, np.float32(255), dtype=np.float32)
    return rearrange(torch.from_numpy(unit), "b h w c -> b c h w")
