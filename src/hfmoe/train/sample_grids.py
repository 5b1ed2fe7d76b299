"""Pictures of a run: samples of its validation, and training samples of a recipe with their degradations."""

import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from hfmoe.data import Mixture, draw_samples, make_sample
from hfmoe.data.degradations import SuperResolutionTask
from hfmoe.data.samples import Made
from hfmoe.image.files import Picture, write_picture
from hfmoe.train.batches import training_photos
from hfmoe.train.progress import Progress
from hfmoe.train.recipe import Recipe
from hfmoe.train.schedule import mixture_at, patch_size
from hfmoe.train.validation import Example, centre, side_by_side

LARGEST = 320
"""Side in target pixels of the centre that is kept of each picture."""
KEPT_STEPS = 24
"""Steps whose pictures stay in a run's folder."""


def samples_due(step: int, recipe: Recipe, *, last: bool = False) -> bool:
    """True where a validation is the first since a multiple of log.samples_every, or the last of all."""
    before = step - recipe.validation.every
    return last or step // recipe.log.samples_every > before // recipe.log.samples_every


def keep_samples(
    folder: Path, examples: Sequence[Example], restored: Sequence[Tensor], *, step: int, scale: int
) -> None:
    """Write the pictures of a step and remove those of steps that are too many, evenly over the run.

    Raises ImageError or OSError where the folder cannot be written.
    """
    place = folder / f"step-{step:06d}"
    place.mkdir(parents=True, exist_ok=True)
    for name, example, image in zip(file_names(examples), examples, restored, strict=False):
        write_picture(place / f"{name}.png", Picture(panels(example, image, scale=scale), bits=8))
    thin(folder, kept=KEPT_STEPS)


def file_names(examples: Sequence[Example]) -> list[str]:
    """Name each example's file as its photo, with the photo's own suffix where two share a name."""
    stems = [Path(example.name).stem for example in examples]
    shared = {stem for stem, count in Counter(stems).items() if count > 1}
    return [example.name if stem in shared else stem for stem, example in zip(stems, examples, strict=True)]


def panels(example: Example, restored: Float[Tensor, "1 c H W"], *, scale: int) -> Float[Tensor, "3 h w"]:
    """Put the centres of degraded, restored and target next to each other, of `LARGEST` pixels at most."""
    small = centre(example, crop=LARGEST, scale=scale)
    shown = centre(example._replace(target=restored), crop=LARGEST, scale=scale)
    return side_by_side(small, shown.target).clamp(0, 1)


def sample_steps(folder: Path) -> list[tuple[int, Path]]:
    """List the steps that have pictures, with their folders, in order."""
    if not folder.is_dir():
        return []
    found = [(re.fullmatch(r"step-(\d{1,18})", path.name), path) for path in folder.iterdir()]
    return sorted((int(match[1]), path) for match, path in found if match and path.is_dir())


def thin(folder: Path, *, kept: int) -> None:
    """Remove steps until `kept` are left, each time the one whose neighbours are closest together.

    The first and the last step stay, so that what is left spans the run.
    """
    found = sample_steps(folder)
    while len(found) > max(kept, 2):
        inner = range(1, len(found) - 1)
        nearest = min(inner, key=lambda place: found[place + 1][0] - found[place - 1][0])
        shutil.rmtree(found.pop(nearest)[1])


def forget_samples_after(folder: Path, step: int) -> None:
    """Remove the pictures of steps that a resumed run has yet to do."""
    for at, path in sample_steps(folder):
        if at > step:
            shutil.rmtree(path)


CLASSICAL = Mixture((SuperResolutionTask(),), (1.0,))


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
    progress = Progress(recipe.steps, step=step)
    patch = patch_size(progress, sizes=recipe.patch)
    mixture = mixture_at(recipe.tasks, progress.share, softness=recipe.softness) or CLASSICAL
    samples = draw_samples(photos, mixture, seed=recipe.seed, step=step, size=count, patch=patch)
    output.mkdir(parents=True, exist_ok=True)
    listing, rows = [], []
    for number, sample in enumerate(samples):
        made = make_sample(photos, sample, patch=patch)
        for name, image in made._asdict().items():
            if image is not None:
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
