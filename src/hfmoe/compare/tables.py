"""Tables and sentences of comparisons: scores of one image, means and wins over a folder."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from hfmoe.compare.measures import BANDS, Comparison
from hfmoe.evaluate.scores import COLUMNS, LOWER_IS_BETTER


def difference_line(comparison: Comparison) -> str:
    """Return how A and B differ, in one line."""
    if comparison.views.same:
        return "A and B are the same image: every sample is equal"
    d = comparison.difference
    if d.largest == 0:
        return "A and B are equal in 8 bits"
    return (
        f"A and B differ by {d.mean:.2f} levels of 8 bits on average and up to {d.largest:.0f}, "
        f"on {d.changed:.1%} of the pixels; {d.psnr:.2f} dB apart; B is {_brightness(d.brighter)}"
    )


def score_line(comparison: Comparison) -> list[str]:
    """Return the scores of each image against its reference, a line each."""
    return [
        f"{label} against {comparison.reference}: "
        + ", ".join(f"{COLUMNS[name][0]} {cell(name, value)}" for name, value in scores.items())
        for label, scores in comparison.scores.items()
    ]


def score_rows(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows of the scores and of the energy over that of the reference."""
    names = list(dict.fromkeys(name for scores in comparison.scores.values() for name in scores))
    bands = [f"energy, {band}" for band in BANDS]
    head = ["", *(COLUMNS[name][0] for name in names), *bands]
    energy = comparison.bands()
    rows = [
        [
            f"{label} against {comparison.reference}",
            *(cell(name, scores[name]) if name in scores else "" for name in names),
            *(share(value) for value in energy[label]),
        ]
        for label, scores in comparison.scores.items()
    ]
    return head, rows


def cell(name: str, value: float) -> str:
    """Return a score as its column writes it."""
    return f"{value:{COLUMNS[name][1]}}"


def share(ratio: float) -> str:
    """Return a ratio of energies; empty where there is none."""
    return f"{ratio:.3g}" if math.isfinite(ratio) else ""


def mean(values: Sequence[float]) -> float:
    """Return the plain mean."""
    return math.fsum(values) / len(values)


class ScoreRow(NamedTuple):
    """Scores of one image, by label and score."""

    name: str
    reference: str
    scores: dict[str, dict[str, float]]

    @staticmethod
    def of(name: str, comparison: Comparison) -> "ScoreRow":
        """Return the row of a comparison."""
        return ScoreRow(name, comparison.reference, comparison.scores)


def mean_rows(rows: Sequence[ScoreRow]) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows of the mean scores; a score that an image lacks is left out."""
    names = _names(rows)
    head = [f"mean of {len(rows)} images", *(COLUMNS[name][0] for name in names)]
    body = []
    for label in rows[0].scores:
        means = [mean([row.scores[label][name] for row in rows]) for name in names]
        cells = [cell(name, value) for name, value in zip(names, means, strict=True)]
        body.append([f"{label} against {rows[0].reference}", *cells])
    return head, body


def wins(rows: Sequence[ScoreRow]) -> list[str]:
    """Return how often A and B are better, a sentence a score; empty without a truth."""
    if "A" not in rows[0].scores:
        return []
    lines = []
    for name in _names(rows):
        sign = -1 if name in LOWER_IS_BETTER else 1
        apart = [sign * _apart(row.scores["B"][name], row.scores["A"][name]) for row in rows]
        better, worse = sum(each > 0 for each in apart), sum(each < 0 for each in apart)
        lines.append(f"{COLUMNS[name][0]}: B is better on {better} and A on {worse} of {len(rows)} images.")
    return lines


def _names(rows: Sequence[ScoreRow]) -> list[str]:
    """Return the scores that every image has."""
    shared = [set(scores) for row in rows for scores in row.scores.values()]
    return [name for name in COLUMNS if all(name in names for names in shared)]


def _apart(one: float, other: float) -> float:
    """one - other, where both may be infinite."""
    return 0.0 if one == other else one - other


def _brightness(levels: float) -> str:
    if abs(levels) < 0.05:
        return "as bright"
    return f"{abs(levels):.1f} levels {'brighter' if levels > 0 else 'darker'}"
