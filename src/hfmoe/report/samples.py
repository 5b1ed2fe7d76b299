"""Sample pictures inside a page: degraded and target once, the restored of each step under a slider."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from hfmoe.image.encoded import data_address
from hfmoe.image.files import ImageError, Picture, list_images, read_picture
from hfmoe.report.page import element, image

MOST_STEPS, MOST_NAMES = 12, 6
"""Steps and images that a page shows at most."""


class SamplePictures(NamedTuple):
    """The pictures of one image as data addresses; `restored` by step."""

    name: str
    degraded: str
    target: str
    restored: dict[int, str]


class Samples(NamedTuple):
    """The images that could be read, and sentences about those that could not."""

    samples: tuple[SamplePictures, ...]
    notes: tuple[str, ...]

    @property
    def steps(self) -> list[int]:
        """The steps of which there is a picture."""
        return sorted({step for sample in self.samples for step in sample.restored})


def read_samples(folders: Sequence[tuple[int, Path]]) -> Samples:
    """Read pictures "degraded | restored | target" from folders by step; damaged ones become notes."""
    by_name: dict[str, dict[int, Path]] = {}
    for step, folder in spread(folders, MOST_STEPS):
        for path in list_images(folder):
            by_name.setdefault(path.stem, {})[step] = path
    samples, notes = [], []
    for name in list(by_name)[:MOST_NAMES]:
        sample = _read_sample(name, by_name[name], notes)
        if sample is not None:
            samples.append(sample)
    return Samples(tuple(samples), tuple(notes))


def _read_sample(name: str, paths: Mapping[int, Path], notes: list[str]) -> SamplePictures | None:
    restored, sides = {}, None
    for step, path in paths.items():
        try:
            degraded, middle, target = thirds(read_picture(path).colour, path)
            restored[step] = data_address(Picture(middle))
            sides = degraded, target
        except ImageError as error:
            notes.append(f"{error}.")
    if sides is None:
        return None
    degraded, target = (data_address(Picture(side)) for side in sides)
    return SamplePictures(name, degraded, target, restored)


def spread(folders: Sequence[tuple[int, Path]], most: int) -> list[tuple[int, Path]]:
    """Return at most `most` items evenly, the first and the last among them."""
    if len(folders) <= most:
        return list(folders)
    places = {round(place * (len(folders) - 1) / (most - 1)) for place in range(most)}
    return [folders[place] for place in sorted(places)]


def thirds(picture: Float[Tensor, "c h w3"], path: Path) -> tuple[Tensor, Tensor, Tensor]:
    """Cut a picture into its three. Raises ImageError when its width is not of three."""
    width = picture.shape[-1]
    if width % 3:
        raise ImageError(f"{path}: width {width} must be a multiple of 3, for three pictures side by side")
    first, second, third = rearrange(picture, "c h (n w) -> n c h w", n=3)
    return first, second, third


def sample_slider(samples: Samples, labels: Mapping[int, str]) -> str:
    """Return the pictures with a slider over the steps, whose label is shown; the last step at first."""
    steps = samples.steps
    outputs = [
        element("output", escape(labels[step]), data_step=str(step), hidden=_hidden(step, steps))
        for step in steps
    ]
    last = str(len(steps) - 1)
    slider = (
        f'<input type="range" min="0" max="{last}" value="{last}" aria-label="step of the restored pictures">'
    )
    choice = element(
        "div",
        *([slider] if len(steps) > 1 else []),
        *outputs,
        class_="slider",
        data_steps=",".join(map(str, steps)),
    )
    return choice + "".join(_sample_row(sample, steps) for sample in samples.samples)


def _sample_row(sample: SamplePictures, steps: list[int]) -> str:
    """Return the three pictures side by side, the restored ones of all steps in one place."""
    restored = [
        image(
            address,
            f"{sample.name} restored at step {step}",
            attributes=f' data-step="{step}"' + (" hidden" if _hidden(step, steps) else ""),
        )
        for step, address in sample.restored.items()
    ]
    columns = (
        ("degraded", image(sample.degraded, f"{sample.name} degraded")),
        ("restored", "".join(restored)),
        ("target", image(sample.target, f"{sample.name} target")),
    )
    shots = [element("figure", inner, element("figcaption", name)) for name, inner in columns]
    return element("div", element("h3", escape(sample.name)), element("div", *shots, class_="three"))


def _hidden(step: int, steps: list[int]) -> str | None:
    return None if step == steps[-1] else "hidden"
