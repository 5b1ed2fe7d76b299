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
    pictures = {label: _read(path) for label, path in given.items()}
    return make_views(pictures, names=_names(given))


def make_views(pictures: Mapping[str, Picture], *, names: Mapping[str, str]) -> Views:
    """Views of pictures by label, "A", "B" and perhaps "truth"; errors as those of `read_views`."""
    views = {label: _view(label, names[label], picture) for label, picture in pictures.items()}
    due = _largest(views)
    fitted = {label: _fit(view, due) for label, view in views.items()}
    first, second = _alike(
        fitted["A"], fitted["B"], colour=any(len(view.image) == 3 for view in views.values())
    )
    shown = Views(first, second, fitted.get("truth"), False, ())
    return Views(first, second, shown.truth, _equal(pictures["A"], pictures["B"]), _notes(pictures, shown))


def _read(path: Path) -> Picture:
    if path.is_file() and path.suffix.lower() not in READ_SUFFIXES:
        raise ImageError(f"{path}: suffix must be one of {', '.join(READ_SUFFIXES)}")
    return read_picture(path)


def _names(given: Mapping[str, Path]) -> dict[str, str]:
    """Return the files' names, with as many of their folders as tell them apart."""
    most = max(len(path.parts) for path in given.values())
    for count in range(1, most + 1):
        names = {label: "/".join(path.parts[-count:]) for label, path in given.items()}
        if len(set(names.values())) == len(set(given.values())):
            break
    return {label: printable(name) for label, name in names.items()}


def _view(label: str, name: str, picture: Picture) -> View:
    return View(label, name, round_to_8bit(flatten(picture).colour), picture.icc)


def _largest(views: Mapping[str, View]) -> View:
    """Return the view whose size the others are brought to: the truth, else the larger of A and B."""
    if "truth" in views:
        return views["truth"]
    return max(views.values(), key=lambda view: view.image.shape[-2] * view.image.shape[-1])


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


def _alike(first: View, second: View, *, colour: bool) -> tuple[View, View]:
    """Return both views in colour where anything is; the profile of a gray one is not for that."""
    pair = [
        view._replace(image=as_colour(view.image), icc=None) if colour and len(view.image) == 1 else view
        for view in (first, second)
    ]
    return pair[0], pair[1]


def as_colour(image: Float[Tensor, "c h w"]) -> Float[Tensor, "3 h w"]:
    """Three channels of an image of one or three."""
    return repeat(image, "1 h w -> 3 h w") if len(image) == 1 else image


def _notes(pictures: Mapping[str, Picture], views: Views) -> tuple[str, ...]:
    """Return what one should know of the images before one believes the numbers; that A is B says `same`."""
    notes = [f"{view.title}." for view in views.all() if view.enlarged > 1]
    for (one, left), (other, right) in combinations(pictures.items(), 2):
        if _equal(left, right) and (one, other) != ("A", "B"):
            notes.append(f"{one} and {other} are the same image: every sample is equal.")
        elif not _equal(left, right) and _equal_in_8bit(left, right):
            most = float((left.colour - right.colour).abs().max())
            notes.append(
                f"{one} and {other} are equal in 8 bits; in their files they differ by up to {most:.2g}."
            )
    clear = [label for label, picture in pictures.items() if picture.alpha is not None]
    if clear:
        notes.append(f"Laid over white, for transparency: {', '.join(clear)}.")
    if len({picture.icc for picture in pictures.values()}) > 1:
        notes.append("The colour profiles differ; samples are compared as they are stored.")
    return tuple(notes)


def _equal(one: Picture, other: Picture) -> bool:
    if one.colour.shape != other.colour.shape or (one.alpha is None) != (other.alpha is None):
        return False
    alike = one.alpha is None or other.alpha is None or torch.equal(one.alpha, other.alpha)
    return alike and torch.equal(one.colour, other.colour)


def _equal_in_8bit(one: Picture, other: Picture) -> bool:
    return one.colour.shape == other.colour.shape and torch.equal(
        *(round_to_8bit(flatten(each).colour) for each in (one, other))
    )
