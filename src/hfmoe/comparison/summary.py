"""A folder's comparisons in few numbers: means, and how often each side is better."""

from collections.abc import Sequence
from typing import NamedTuple

from hfmoe.comparison.measures import Comparison
from hfmoe.comparison.words import cell, mean
from hfmoe.evaluate.scores import COLUMNS, LOWER_IS_BETTER


class Row(NamedTuple):
    """The numbers of one image that means are taken of."""

    name: str
    reference: str
    scores: dict[str, dict[str, float]]

    @staticmethod
    def of(name: str, found: Comparison) -> "Row":
        """The row of a comparison."""
        return Row(name, found.reference, found.scores)


def mean_rows(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of the mean scores; a score that an image lacks is left out."""
    names = _names(rows)
    head = [f"mean of {len(rows)} images", *(COLUMNS[name][0] for name in names)]
    body = []
    for label in rows[0].scores:
        means = [mean([row.scores[label][name] for row in rows]) for name in names]
        cells = [cell(name, value) for name, value in zip(names, means, strict=True)]
        body.append([f"{label} against {rows[0].reference}", *cells])
    return head, body


def wins(rows: Sequence[Row]) -> list[str]:
    """How often A and B are better, a sentence a score; empty without a truth."""
    if "A" not in rows[0].scores:
        return []
    lines = []
    for name in _names(rows):
        sign = -1 if name in LOWER_IS_BETTER else 1
        apart = [sign * _apart(row.scores["B"][name], row.scores["A"][name]) for row in rows]
        better, worse = sum(each > 0 for each in apart), sum(each < 0 for each in apart)
        lines.append(f"{COLUMNS[name][0]}: B is better on {better} and A on {worse} of {len(rows)} images.")
    return lines


def _names(rows: Sequence[Row]) -> list[str]:
    """The scores that every image has."""
    shared = [set(scores) for row in rows for scores in row.scores.values()]
    return [name for name in COLUMNS if all(name in names for names in shared)]


def _apart(one: float, other: float) -> float:
    """one - other, where both may be infinite."""
    return 0.0 if one == other else one - other
