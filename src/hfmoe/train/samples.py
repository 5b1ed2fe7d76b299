"""Sample pictures that a run keeps as files: samples/step-004000/NAME.png, degraded | restored | target."""

import re
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from hfmoe.image.files import Picture, write_picture
from hfmoe.train.examples import Example, centre
from hfmoe.train.recipe import Recipe
from hfmoe.train.validate import side_by_side

LARGEST = 320
"""Side in target pixels of the centre that is kept of each picture."""
KEPT_STEPS = 24
"""Steps whose pictures stay in a run's folder."""


def samples_due(step: int, recipe: Recipe, *, last: bool = False) -> bool:
    """Whether a step's validation is the first since a multiple of log.samples_every, or the last of all."""
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
