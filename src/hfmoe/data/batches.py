"""Batches of pairs as a pure function of (seed, step)."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor

from hfmoe.data.photos import PhotoSet
from hfmoe.data.samples import GIVEN, Mixture, Sample, draw, draw_sample, gather, make_sample, stack


class Pair(NamedTuple):
    """A batch in [0, 1], in channels-last memory: what the network sees and what it should give back.

    teacher: what another network made of the degraded images, where photos are labelled. tasks: the kind of
    each image's task, empty where it is not known.
    """

    degraded: Float[Tensor, "b c h w"]
    target: Float[Tensor, "b c H W"]
    teacher: Float[Tensor, "b c H W"] | None = None
    tasks: tuple[str, ...] = ()

    def images(self) -> dict[str, Tensor]:
        """Return the tensors by name."""
        return {name: side for name, side in self._asdict().items() if isinstance(side, Tensor)}

    def map(self, change: Callable[[Tensor], Tensor]) -> "Pair":
        """Return the batch with every tensor changed alike."""
        return self._replace(**{name: change(side) for name, side in self.images().items()})

    def of(self, places: Sequence[int]) -> "Pair":
        """Return the batch of some of the images."""
        chosen = self.map(lambda side: side[list(places)])
        return chosen._replace(tasks=tuple(self.tasks[place] for place in places) if self.tasks else ())

    def parts(self, count: int) -> list["Pair"]:
        """Cut the batch into equal parts, in order."""
        size = len(self.degraded) // count
        cuts = [slice(start, start + size) for start in range(0, size * count, size)]
        return [self.map(lambda side, cut=cut: side[cut])._replace(tasks=self.tasks[cut]) for cut in cuts]


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
        sides = [_unit_range(side) for side in gather(photos, crops, patch=patch) if side is not None]
        return Pair(*sides, tasks=tuple(photos.task(crop.photo) or GIVEN for crop in crops))
    samples = draw_samples(
        photos, mixture, seed=seed, step=step, size=size, patch=patch, part=part, parts=parts
    )
    made = [make_sample(photos, sample, patch=patch) for sample in samples]
    taught = [each.teacher for each in made if each.teacher is not None]
    return Pair(
        stack([each.degraded for each in made]),
        stack([each.target for each in made]),
        stack(taught) if taught else None,
        tuple(sample.task for sample in samples),
    )


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
