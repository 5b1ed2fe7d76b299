"""Squares worth a look: where two images differ, and where each is far from the truth."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from hfmoe.compare.views import Views
from hfmoe.evaluate.pictures import Square, error_map, largest_mean

WITHOUT_TRUTH = 3
"""Squares that are shown where nothing but the difference tells which."""


class Spot(NamedTuple):
    """A square and why it is shown."""

    why: str
    square: Square


def find_spots(views: Views, *, side: int, border: int = 0) -> tuple[Spot, ...]:
    """The squares of `side` pixels that matter, most telling first; none where A and B and truth are equal.

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
        if square.mean > 0:
            _add(spots, Spot(why, square))
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
    return tuple(spots[:WITHOUT_TRUTH])


def _add(spots: list[Spot], spot: Spot) -> None:
    """Add a spot, or its reason to one that it mostly covers."""
    for index, known in enumerate(spots):
        if _shared(known.square, spot.square) > 0.5:
            spots[index] = known._replace(why=f"{known.why}; {spot.why}")
            return
    spots.append(spot)


def _shared(one: Square, other: Square) -> float:
    """Return the share of a square that another of its size covers."""
    down = min(one.top, other.top) + one.height - max(one.top, other.top)
    across = min(one.left, other.left) + one.width - max(one.left, other.left)
    return max(0, down) * max(0, across) / (one.height * one.width)
