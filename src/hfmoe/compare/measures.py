"""Measures of a comparison: scores against the truth, the difference of A and B, energy by frequency, and
the squares worth a look: where A and B differ, and where each is far from the truth.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from hfmoe.compare.views import View, Views, as_colour
from hfmoe.evaluate.pictures import Square, error_map, largest_mean
from hfmoe.evaluate.report import finite_or_text
from hfmoe.evaluate.scores import Distance, comparable, distances_of, score_image
from hfmoe.image.colour import luma
from hfmoe.image.resize import crop_border
from hfmoe.inspect.spectrum import energy_ratio
from hfmoe.metrics.psnr import psnr
from hfmoe.metrics.ssim import WINDOW

SIDE = 96
BANDS = ("coarse", "middle", "fine")
"""Thirds of the frequencies, up to half a cycle a pixel."""


@dataclass(frozen=True)
class Options:
    """Settings: the side of the squares, pixels on each side that do not count, distances by name."""

    side: int = SIDE
    border: int = 0
    distances: Mapping[str, Distance] = field(default_factory=dict)

    def __post_init__(self):
        if self.side < 1:
            raise ValueError(f"side {self.side} must be at least 1")
        if self.border < 0:
            raise ValueError(f"border {self.border} must be at least 0")


@dataclass(frozen=True)
class Difference:
    """Difference of A and B, in levels of 8 bits over all channels; changed: share of unequal pixels.

    brighter: mean of B's luma minus A's, in levels; psnr: in dB, infinite where they are equal.
    """

    mean: float
    root_mean_square: float
    largest: float
    changed: float
    brighter: float
    psnr: float


class Spot(NamedTuple):
    """A square and why it is shown."""

    why: str
    square: Square


@dataclass(frozen=True)
class Comparison:
    """Two images, and what tells them apart.

    scores: by label, of A and B against the truth; of B against A without one. energy: over that of the
    reference (the truth, else A) by frequency, by label.
    """

    views: Views
    difference: Difference
    scores: dict[str, dict[str, float]]
    energy: dict[str, Float[Tensor, " n"]]
    reference: str
    places: tuple[Spot, ...]
    notes: tuple[str, ...]

    def bands(self) -> dict[str, tuple[float, ...]]:
        """Return geometric means of the energy ratios of each third of the frequencies; NaN without any."""
        return {label: tuple(map(_typical, ratio.chunk(len(BANDS)))) for label, ratio in self.energy.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; what is not finite as text."""
        height, width = self.views.first.image.shape[-2:]
        values = {
            "images": {view.label: view.name for view in self.views.all()},
            "height": height,
            "width": width,
            "same": self.views.same,
            "difference": asdict(self.difference),
            "scores": self.scores,
            f"energy_over_{self.reference}": {
                label: dict(zip(BANDS, means, strict=True)) for label, means in self.bands().items()
            },
            "places": [{"why": place.why, **place.square._asdict()} for place in self.places],
            "notes": list(self.notes),
        }
        return finite_or_text(values)


def compare_images(views: Views, options: Options | None = None) -> Comparison:
    """Measure two images. Raises ValueError when the border leaves nothing to compare."""
    options = options or Options()
    notes = list(views.notes)
    reference = views.truth or views.first
    candidates = (views.first, views.second) if views.truth else (views.second,)
    scores = {view.label: _scores(view, reference, options, notes) for view in candidates}
    energy = {
        view.label: energy_ratio(as_colour(view.image), as_colour(reference.image)) for view in candidates
    }
    return Comparison(
        views,
        _difference(views, options.border),
        scores,
        energy,
        reference.label,
        find_spots(views, side=options.side, border=options.border),
        tuple(dict.fromkeys(notes)),
    )


def _difference(views: Views, border: int) -> Difference:
    first, second = (crop_border(view.image.double(), border=border) for view in (views.first, views.second))
    apart = 255 * (second - first)
    by_pixel = error_map(first, second)
    return Difference(
        mean=float(apart.abs().mean()),
        root_mean_square=float(apart.square().mean().sqrt()),
        largest=float(apart.abs().max()),
        changed=float((by_pixel > 0).double().mean()),
        brighter=float(255 * (luma(second) - luma(first)).mean()),
        psnr=psnr(first[None], second[None]).item(),
    )


def _scores(view: View, reference: View, options: Options, notes: list[str]) -> dict[str, float]:
    """Return the scores that an image of this size can have; what it is too small for is said."""
    image, truth = view.image[None], reference.image[None]
    both = comparable(image, truth, border=options.border)
    if min(both.result.shape[-2:]) < WINDOW:
        notes.append(f"SSIM needs {WINDOW} x {WINDOW} pixels; it is left out.")
        y = (luma(both.result), luma(both.truth))
        return {"psnr_y": psnr(*y).item(), "psnr_rgb": psnr(*both).item()}
    scores = score_image(image, truth, border=options.border).present()
    for name, distance in options.distances.items():
        try:
            with torch.no_grad():
                scores |= distances_of(both, {name: distance})
        except ValueError as error:
            notes.append(f"{error}; it is left out.")
    return scores


def _typical(ratios: Tensor) -> float:
    kept = ratios[torch.isfinite(ratios) & (ratios > 0)]
    return float(kept.log().mean().exp())


def find_spots(views: Views, *, side: int, border: int = 0) -> tuple[Spot, ...]:
    """Return the squares of `side` pixels that matter, most telling first; none where all are equal.

    With a truth: where A and B differ most, where each is farthest from the truth, and where each is better
    than the other by most. Without one: where they differ most, squares that do not overlap.
    """
    difference = error_map(views.first.image, views.second.image).square()
    if views.truth is None:
        return _apart(difference, side=side, border=border)
    first, second = (
        error_map(view.image, views.truth.image).square() for view in (views.first, views.second)
    )
    wanted = {
        "A and B differ most": difference,
        "A is farthest from the truth": first,
        "B is farthest from the truth": second,
        "A is better than B by most": second - first,
        "B is better than A by most": first - second,
    }
    spots: list[Spot] = []
    for why, values in wanted.items():
        square = largest_mean(values, side=side, border=border)
        covered = (index for index, spot in enumerate(spots) if _shared(spot.square, square) > 0.5)
        if square.mean <= 0:
            continue
        if (index := next(covered, None)) is None:
            spots.append(Spot(why, square))
        else:
            spots[index] = spots[index]._replace(why=f"{spots[index].why}; {why}")
    return tuple(spots)


def _apart(difference: Float[Tensor, "h w"], *, side: int, border: int) -> tuple[Spot, ...]:
    """Return the largest differences; a square that was taken counts no more."""
    spots, left = [], difference.clone()
    for order in ("A and B differ most", "second largest difference", "third largest difference"):
        square = largest_mean(left, side=side, border=border)
        if square.mean <= 0:
            break
        spots.append(Spot(order, square))
        left[square.place()] = torch.tensor(-1.0).to(left)
    return tuple(spots)


def _shared(one: Square, other: Square) -> float:
    """Return the share of a square that another of its size covers."""
    down = min(one.top, other.top) + one.height - max(one.top, other.top)
    across = min(one.left, other.left) + one.width - max(one.left, other.left)
    return max(0, down) * max(0, across) / (one.height * one.width)
