"""Validation: photos degraded for each task of the recipe, always the same, and their scores."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from hfmoe.data import DataError, PairedFolders
from hfmoe.data.degradations import AnyTask, Operation, Task, apply
from hfmoe.data.degradations.noise import GaussianNoise
from hfmoe.data.degradations.resampling import Resize
from hfmoe.data.photos import prepare
from hfmoe.data.samples import GIVEN, unit_range
from hfmoe.data.sources import PhotoLocation, find_sources
from hfmoe.evaluate.protocols import EvaluationProtocol, classical_sr, luma_sr
from hfmoe.evaluate.scores import score_image
from hfmoe.image.files import ImageError, list_images, read_gray8, read_rgb8
from hfmoe.image.picture import round_to_8bit
from hfmoe.image.resize import crop_to_multiple
from hfmoe.metrics.grid import grid_strength
from hfmoe.metrics.psnr import psnr
from hfmoe.models.config import HFMoEConfig
from hfmoe.models.external import Network
from hfmoe.models.folding import fold
from hfmoe.train.fields import may_hold_pairs
from hfmoe.train.recipe import Recipe
from hfmoe.train.schedule import active


class Example(NamedTuple):
    """One validation photo, and the name of what was done to it."""

    name: str
    degraded: Float[Tensor, "1 c h w"]
    target: Float[Tensor, "1 c H W"]
    task: str = "sr"


class ValidationTask(NamedTuple):
    """A way to degrade validation photos: fixed operations, or what a task draws for each photo."""

    name: str
    task: Task
    operations: tuple[Operation, ...] = ()


def read_examples(recipe: Recipe) -> tuple[Example, ...]:
    """Read the photos to validate on, cropped to their centre if the recipe says so, for each task.

    The first photo comes first for every task, so that the first few examples show all tasks.
    Raises ImageError for an empty folder and for a photo that cannot be read or is too small.
    """
    place, scale = recipe.validation.folder, recipe.config().scale
    if place is None:
        return ()
    if isinstance(place, PairedFolders) or may_hold_pairs(place):
        return tuple(given_examples(recipe, place))
    by_trial = []
    for trial in trials(recipe.tasks):
        if trial.name != "sr":
            by_trial.append(degraded_examples(recipe, place, trial))
        elif scale > 1:
            by_trial.append(classical(recipe, place))
    return tuple(example for photo in zip(*by_trial, strict=True) for example in photo)


def scored_on_luma(recipe: Recipe) -> bool:
    """Return whether validation is PSNR on Y: that of classical super-resolution alone."""
    place = recipe.validation.folder
    return recipe.task() == "sr" and not (place is not None and may_hold_pairs(place))


def trials(tasks: Sequence[AnyTask]) -> list[ValidationTask]:
    """List how photos are degraded to score tasks, at their hardest: as at the end of the run."""
    named: dict[str, AnyTask] = {}
    for moment in (0.0, *(task.start for task in tasks), 1 - 1e-9):
        named |= dict(active(tasks, moment))
    found: list[ValidationTask] = []
    for name, task in named.items():
        fixed = task.benchmark()
        found += [ValidationTask(f"{name} {strength}", task, fixed[strength]) for strength in fixed]
        found += [] if fixed else [ValidationTask(name, task)]
    return found


def scoring(config: HFMoEConfig) -> EvaluationProtocol:
    """Choose the protocol that scores super-resolution while it trains."""
    return luma_sr(config.scale) if config.channels == 1 else classical_sr(config.scale)


def given_examples(recipe: Recipe, place: PhotoLocation) -> Iterator[Example]:
    """Yield pairs as they are. Raises DataError for a photo without its degraded side or of another size."""
    fields, config = recipe.validation, recipe.config()
    for source in find_sources([place])[: fields.images]:
        if source.degraded is None:
            raise DataError(f"{source.target} has no degraded side to validate on")
        photo = prepare(source, scale=config.scale, channels=config.channels)
        degraded, target = (unit_range(side)[None] for side in photo[:2])
        example = Example(source.target.name, degraded, target, GIVEN)
        yield centre(example, crop=fields.crop, scale=config.scale)


def classical(recipe: Recipe, folder: Path) -> Iterator[Example]:
    """Return the examples of classical super-resolution."""
    fields, config = recipe.validation, recipe.config()
    for pair in islice(scoring(config).pairs(folder), fields.images):
        yield centre(Example(pair.name, pair.degraded, pair.target), crop=fields.crop, scale=config.scale)


def degraded_examples(recipe: Recipe, folder: Path, trial: ValidationTask) -> Iterator[Example]:
    """Return the examples of a trial; what it draws for a photo depends on the photo's place alone."""
    fields, config = recipe.validation, recipe.config()
    paths = list_images(folder)
    if not paths:
        raise ImageError(f"{folder}: the folder holds no images")
    least = 8 * config.scale
    for number, path in enumerate(paths[: fields.images]):
        image = (read_rgb8 if config.channels == 3 else read_gray8)(path).float() / 255
        if min(image.shape[-2:]) < least:
            raise ImageError(
                f"{path}: {image.shape[-1]} x {image.shape[-2]} pixels; at least {least} are needed"
            )
        target = crop_to_multiple(middle(image[None], crop=fields.crop), multiple=config.scale)
        degraded = degrade(target[0], trial, number=number, scale=config.scale)
        name = f"{path.stem}-{trial.name.replace(' ', '-')}{path.suffix}"
        yield Example(name, degraded[None], target, trial.name)


def degrade(
    target: Float[Tensor, "c H W"], trial: ValidationTask, *, number: int, scale: int
) -> Float[Tensor, "c h w"]:
    """Degrade a whole target for a trial."""
    seed = int(np.random.SeedSequence([number, 3]).generate_state(1, np.uint64)[0] >> 1)
    source = target
    if scale > 1 and not trial.task.shrinks:
        size = (target.shape[-2] // scale, target.shape[-1] // scale)
        source = Resize(*size, "matlab")(target)
    if trial.operations:
        return apply(source, _seeded(trial.operations, seed))
    generator = torch.Generator().manual_seed(seed)
    size = (source.shape[-2], source.shape[-1])
    return apply(source, trial.task.draw(generator, size=size, scale=scale if trial.task.shrinks else 1))


def _seeded(operations: Sequence[Operation], seed: int) -> Iterator[Operation]:
    for operation in operations:
        yield replace(operation, seed=seed) if isinstance(operation, GaussianNoise) else operation


def middle(image: Float[Tensor, "1 c h w"], *, crop: int | None) -> Float[Tensor, "1 c H W"]:
    """Keep the central crop x crop pixels."""
    if crop is None:
        return image
    height, width = (min(side, crop) for side in image.shape[-2:])
    top, left = (image.shape[-2] - height) // 2, (image.shape[-1] - width) // 2
    return image[..., top : top + height, left : left + width]


def centre(example: Example, *, crop: int | None, scale: int) -> Example:
    """Keep the central crop x crop pixels of the target, cut to a multiple of the scale, and their origin."""
    if crop is None:
        return example
    whole = example.degraded.shape[-2:]
    height, width = (min(size, crop // scale) for size in whole)
    top, left = (whole[0] - height) // 2, (whole[1] - width) // 2
    degraded = example.degraded[..., top : top + height, left : left + width]
    top, left, height, width = (number * scale for number in (top, left, height, width))
    target = example.target[..., top : top + height, left : left + width]
    return example._replace(degraded=degraded, target=target)


MOST = 100.0
"""PSNR of equal pictures, in dB."""


class Validated(NamedTuple):
    """Mean PSNR in dB of each task by name, and the first restored pictures.

    grid: strength of the worst grid that an enlarging network draws (hfmoe.metrics.grid).
    """

    tasks: dict[str, float]
    restored: tuple[Tensor, ...]
    grid: float | None = None

    @property
    def psnr(self) -> float:
        """The mean over tasks, which chooses the best weights."""
        return fmean(self.tasks.values())

    def facts(self) -> dict[str, Any]:
        """Return the scores for the log; classical super-resolution alone is scored on Y."""
        drawn = {} if self.grid is None else {"grid": self.grid}
        if list(self.tasks) == ["sr"]:
            return {"psnr": self.psnr, "psnr_y": self.psnr, **drawn}
        return {"psnr": self.psnr, "tasks": self.tasks, **drawn}


@torch.inference_mode()
def validate(network: Network, examples: Sequence[Example], *, keep: int = 0) -> Validated:
    """Restore every example with the folded network; keep the first pictures to look at."""
    folded = fold(network).eval()
    device = next(network.parameters()).device
    scores, kept = defaultdict(list), []
    for example in examples:
        restored = folded(example.degraded.to(device)).image.float().cpu()
        scores[example.task].append(score(network, restored, example))
        if len(kept) < keep:
            kept.append(restored)
    means = {task: fmean(values) for task, values in scores.items()}
    return Validated(means, tuple(kept), worst_grid(folded, device=device))


def worst_grid(network: Network, *, device: torch.device) -> float | None:
    """Return the strength of the worst grid that a network draws; None at scale 1."""
    config = network.config
    if config.scale == 1:
        return None
    found = grid_strength(
        lambda image: network(image.to(device)).image.float(), scale=config.scale, channels=config.channels
    )
    return max(found.values())


def score(network: Network, restored: Float[Tensor, "1 c h w"], example: Example) -> float:
    """PSNR of one result in 8 bits: on Y for classical super-resolution, else on all channels.

    At scales above 1, `scale` pixels on each side do not count.
    """
    config = network.config
    if example.task == "sr" and config.scale > 1:
        return score_image(restored, example.target, border=config.scale).psnr_y
    result, target = (round_to_8bit(image.double()) for image in (restored, example.target))
    border = config.scale if config.scale > 1 else 0
    return min(MOST, psnr(result, target, border=border).item())


def side_by_side(example: Example, restored: Float[Tensor, "1 c H W"]) -> Float[Tensor, "3 H W3"]:
    """Put degraded (enlarged without smoothing), restored and target next to each other."""
    enlarged = F.interpolate(example.degraded, size=example.target.shape[-2:], mode="nearest")
    colours = [image.expand(1, 3, -1, -1) for image in (enlarged, restored, example.target)]
    return rearrange(colours, "n 1 c h w -> c h (n w)")
