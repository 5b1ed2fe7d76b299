"""The images that are compared, read and brought to one size."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import torch
from einops import repeat
from jaxtyping import Float
from torch import Tensor

from hfmoe.image.files import READ_SUFFIXES, ImageError, Picture, flatten, printable, read_picture
from hfmoe.image.picture import round_to_8bit
from hfmoe.image.resize import resize


class View(NamedTuple):
    """An image as it is compared: clamped and rounded to 8 bits, laid over white where it has alpha.

    label: A, B or truth; name: of its file; enlarged: how many times by bicubic interpolation.
    """

    label: str
    name: str
    image: Float[Tensor, "c h w"]
    icc: bytes | None = None
    enlarged: int = 1

    @property
    def title(self) -> str:
        """Label, name, and what was done to it."""
        done = f", enlarged x{self.enlarged} by bicubic" if self.enlarged > 1 else ""
        return f"{self.label}: {self.name}{done}"


@dataclass(frozen=True)
class Views:
    """A and B, of one size and equally many channels, the truth where there is one, and what is to be said.

    same: every sample of A and B is equal at the depth of their files.
    """

    first: View
    second: View
    truth: View | None
    same: bool
    notes: tuple[str, ...]

    def all(self) -> tuple[View, ...]:
        """A, B and the truth."""
        return (self.first, self.second) if self.truth is None else (self.first, self.second, self.truth)


def read_views(first: Path | str, second: Path | str, truth: Path | str | None = None) -> Views:
    """Read the images to compare; a file that is both A and B is read twice and said to be the same.

    Raises ImageError for a file that cannot be read and for sizes of which none is a whole multiple.
    """
    given = {"A": Path(first), "B": Path(second)} | ({} if truth is None else {"truth": Path(truth)})
    for path in given.values():
        if path.is_file() and path.suffix.lower() not in READ_SUFFIXES:
            raise ImageError(f"{path}: suffix must be one of {', '.join(READ_SUFFIXES)}")
    pictures = {label: read_picture(path) for label, path in given.items()}
    return make_views(pictures, names=_names(given))


def make_views(pictures: Mapping[str, Picture], *, names: Mapping[str, str]) -> Views:
    """Return views of pictures by label, "A", "B" and perhaps "truth"; errors as those of `read_views`.

    All get the size of the truth, else of the larger of A and B; A and B are in colour where anything is.
    """
    views = {
        label: View(label, names[label], round_to_8bit(flatten(picture).colour), picture.icc)
        for label, picture in pictures.items()
    }
    due = views.get("truth") or max(views.values(), key=lambda view: view.image[0].numel())
    views = {label: _fit(view, due) for label, view in views.items()}
    colour = any(len(view.image) == 3 for view in views.values())
    for label in ("A", "B"):
        if colour and len(views[label].image) == 1:  # the profile of a gray one is not for that
            views[label] = views[label]._replace(image=as_colour(views[label].image), icc=None)
    notes = tuple(_notes(pictures, views))
    return Views(views["A"], views["B"], views.get("truth"), _equal(pictures["A"], pictures["B"]), notes)


def _names(given: Mapping[str, Path]) -> dict[str, str]:
    """Return the files' names, with as many of their folders as tell them apart."""
    most = max(len(path.parts) for path in given.values())
    for count in range(1, most + 1):
        names = {label: "/".join(path.parts[-count:]) for label, path in given.items()}
        if len(set(names.values())) == len(set(given.values())):
            break
    return {label: printable(name) for label, name in names.items()}


def _fit(view: View, due: View) -> View:
    """Return the view at the size of another, enlarged by a whole factor where it is smaller."""
    (height, width), (tall, wide) = view.image.shape[-2:], due.image.shape[-2:]
    factor = tall // height
    if factor < 1 or (tall, wide) != (height * factor, width * factor):
        raise ImageError(
            f"{view.name}: {width} x {height} pixels must be those of {due.name}, {wide} x {tall}, "
            "or smaller by a whole factor"
        )
    if factor == 1:
        return view
    return view._replace(image=round_to_8bit(resize(view.image, scale=factor)), enlarged=factor)


def as_colour(image: Float[Tensor, "c h w"]) -> Float[Tensor, "3 h w"]:
    """Return three channels of an image of one or three."""
    return repeat(image, "1 h w -> 3 h w") if len(image) == 1 else image


def _notes(pictures: Mapping[str, Picture], views: Mapping[str, View]) -> list[str]:
    """Return what one should know of the images before one believes the numbers; that A is B says `same`."""
    notes = [f"{view.title}." for view in views.values() if view.enlarged > 1]
    for (one, left), (other, right) in combinations(pictures.items(), 2):
        if _equal(left, right) and (one, other) != ("A", "B"):
            notes.append(f"{one} and {other} are the same image: every sample is equal.")
        elif not _equal(left, right) and _equal(_in_8bit(left), _in_8bit(right)):
            most = float((left.colour - right.colour).abs().max())
            notes.append(
                f"{one} and {other} are equal in 8 bits; in their files they differ by up to {most:.2g}."
            )
    clear = [label for label, picture in pictures.items() if picture.alpha is not None]
    if clear:
        notes.append(f"Laid over white, for transparency: {', '.join(clear)}.")
    if len({picture.icc for picture in pictures.values()}) > 1:
        notes.append("The colour profiles differ; samples are compared as they are stored.")
    return notes


def _equal(one: Picture, other: Picture) -> bool:
    if one.colour.shape != other.colour.shape or (one.alpha is None) != (other.alpha is None):
        return False
    alike = one.alpha is None or other.alpha is None or torch.equal(one.alpha, other.alpha)
    return alike and torch.equal(one.colour, other.colour)


def _in_8bit(picture: Picture) -> Picture:
    return Picture(round_to_8bit(flatten(picture).colour))
