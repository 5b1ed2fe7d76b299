"""Degraded samples of a recipe written as pictures, with what was done to each."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from hfmoe.data import Mixture, draw_samples, make_sample
from hfmoe.data.samples import Made
from hfmoe.data.tasks import SuperResolution
from hfmoe.image.files import Picture, write_picture
from hfmoe.train.curriculum import mixture_at
from hfmoe.train.feeding import training_photos
from hfmoe.train.recipe import Recipe
from hfmoe.train.schedule import patch_size

CLASSICAL = Mixture((SuperResolution(),), (1.0,))


def write_samples(recipe: Recipe, *, step: int, count: int, output: Path) -> Iterator[str]:
    """Write the first `count` samples of a step and describe each in a line.

    A sample is NN-source.png, what its operations start from, NN-degraded.png and NN-target.png; all of them
    are on sheet.png, and samples.json tells what was done to the source, whose photo has been changed as the
    recipe's `found` says. Raises ValueError for a step outside the run.
    """
    if not 0 <= step < recipe.steps:
        raise ValueError(f"step {step} must be in [0, {recipe.steps}), the steps of the run")
    if count < 1:
        raise ValueError(f"count {count} must be at least 1")
    photos = training_photos(recipe)
    patch = patch_size(step, steps=recipe.steps, sizes=recipe.patch)
    mixture = mixture_at(recipe.tasks, step / recipe.steps, softness=recipe.softened()) or CLASSICAL
    samples = draw_samples(photos, mixture, seed=recipe.seed, step=step, size=count, patch=patch)
    output.mkdir(parents=True, exist_ok=True)
    listing, rows = [], []
    for number, sample in enumerate(samples):
        made = make_sample(photos, sample, patch=patch)
        for name, image in made._asdict().items():
            write_picture(output / f"{number:02d}-{name}.png", Picture(image))
        listing.append(sample.as_data(photos.names[sample.crop.photo]))
        rows.append(beside(made))
        yield f"{number:02d} {listing[-1]['place']['photo']}: {described(listing[-1])}"
    (output / "samples.json").write_text(json.dumps(listing, indent=1), encoding="utf-8")
    write_picture(output / "sheet.png", Picture(in_columns(rows)))


def described(sample: dict[str, Any]) -> str:
    """Put a sample's operations on one line."""
    done = [_described(dict(operation)) for operation in sample["operations"]]
    if "softness" in sample:
        done.insert(0, f"as soft as by sigma {sample['softness']:.3g}")
    return f"{sample['task']}: {', '.join(done) or 'as it is'}"


def beside(made: Made) -> Float[Tensor, "3 h w"]:
    """Put degraded (enlarged without smoothing) and target side by side."""
    enlarged = F.interpolate(made.degraded[None], size=made.target.shape[-2:], mode="nearest")[0]
    return torch.cat([enlarged, made.target], dim=-1).expand(3, -1, -1).clamp(0, 1)


def in_columns(pictures: list[Float[Tensor, "3 h w"]], *, columns: int = 4) -> Float[Tensor, "3 H W"]:
    """Lay pictures of one size out in rows from left to right, black where there is none."""
    columns = min(columns, len(pictures))
    missing = -len(pictures) % columns
    filled = torch.stack([*pictures, *[torch.zeros_like(pictures[0])] * missing])
    return rearrange(F.pad(filled, (0, 4, 0, 4)), "(y x) c h w -> c (y h) (x w)", x=columns)


def _described(operation: dict[str, Any]) -> str:
    kind = operation.pop("kind")
    values = [f"{name} {_short(value)}" for name, value in operation.items() if name != "seed"]
    return f"{kind} ({', '.join(values)})" if values else kind


def _short(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " x ".join(map(_short, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)
