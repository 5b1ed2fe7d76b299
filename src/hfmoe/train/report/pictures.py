"""Sample pictures of a run as data inside a page: degraded and target once, restored by step, lossless."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from hfmoe.image.encoded import data_address
from hfmoe.image.files import ImageError, Picture, list_images, read_picture

MOST_STEPS, MOST_NAMES = 12, 6
"""Steps and photos that a page shows at most."""


class Sample(NamedTuple):
    """One photo's pictures as data addresses; `restored` by step."""

    name: str
    degraded: str
    target: str
    restored: dict[int, str]


class Samples(NamedTuple):
    """The photos that could be read, and sentences about those that could not."""

    samples: tuple[Sample, ...]
    notes: tuple[str, ...]


def read_samples(found: Sequence[tuple[int, Path]]) -> Samples:
    """Read the pictures of a run's (step, folder) pairs; damaged ones are named and left out."""
    steps = spread(found, MOST_STEPS)
    by_name: dict[str, dict[int, Path]] = {}
    for step, folder in steps:
        for path in list_images(folder):
            by_name.setdefault(path.stem, {})[step] = path
    samples, notes = [], []
    for name in list(by_name)[:MOST_NAMES]:
        shown = read_sample(name, by_name[name], notes)
        if shown is not None:
            samples.append(shown)
    return Samples(tuple(samples), tuple(notes))


def read_sample(name: str, paths: dict[int, Path], notes: list[str]) -> Sample | None:
    """Read one photo's pictures at its steps; None where there is no readable one."""
    restored, sides = {}, None
    for step, path in paths.items():
        try:
            degraded, middle, target = panels(read_picture(path).colour, path)
            restored[step] = data_address(Picture(middle))
            sides = degraded, target
        except ImageError as error:
            notes.append(f"{error}.")
    return sides and Sample(name, data_address(Picture(sides[0])), data_address(Picture(sides[1])), restored)


def spread(found: Sequence[tuple[int, Path]], most: int) -> list[tuple[int, Path]]:
    """Choose at most `most` steps evenly, the first and the last among them."""
    if len(found) <= most:
        return list(found)
    places = {round(place * (len(found) - 1) / (most - 1)) for place in range(most)}
    return [found[place] for place in sorted(places)]


def panels(picture: Float[Tensor, "c h w3"], path: Path) -> tuple[Tensor, Tensor, Tensor]:
    """Cut a picture into degraded, restored and target. Raises ImageError when its width is not of three."""
    width = picture.shape[-1]
    if width % 3:
        raise ImageError(f"{path}: width {width} must be a multiple of 3, for three pictures side by side")
    first, second, third = rearrange(picture, "c h (n w) -> n c h w", n=3)
    return first, second, third
