"""A comparison in words: headings, cells of tables, lines."""

import math
from collections.abc import Sequence

from hfmoe.comparison.measures import BANDS, Comparison
from hfmoe.evaluate.scores import COLUMNS


def difference_line(found: Comparison) -> str:
    """How A and B differ, in one line."""
    if found.views.same:
        return "A and B are the same image: every sample is equal"
    d = found.difference
    if d.largest == 0:
        return "A and B are equal in 8 bits"
    return (
        f"A and B differ by {d.mean:.2f} levels of 8 bits on average and up to {d.largest:.0f}, "
        f"on {d.changed:.1%} of the pixels; {d.psnr:.2f} dB apart; B is {_brightness(d.brighter)}"
    )


def score_line(found: Comparison) -> list[str]:
    """Scores of each image against its reference, a line each."""
    return [
        f"{label} against {found.reference}: "
        + ", ".join(f"{COLUMNS[name][0]} {cell(name, value)}" for name, value in scores.items())
        for label, scores in found.scores.items()
    ]


def score_rows(found: Comparison) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of the scores and of the energy over that of the reference."""
    names = list(dict.fromkeys(name for scores in found.scores.values() for name in scores))
    bands = [f"energy, {band}" for band in BANDS]
    head = ["", *(COLUMNS[name][0] for name in names), *bands]
    energy = found.bands()
    rows = [
        [
            f"{label} against {found.reference}",
            *(cell(name, scores[name]) if name in scores else "" for name in names),
            *(share(value) for value in energy[label]),
        ]
        for label, scores in found.scores.items()
    ]
    return head, rows


def cell(name: str, value: float) -> str:
    """A score as its column writes it."""
    return f"{value:{COLUMNS[name][1]}}"


def share(ratio: float) -> str:
    """A ratio of energies; empty where there is none."""
    return f"{ratio:.3g}" if math.isfinite(ratio) else ""


def mean(values: Sequence[float]) -> float:
    """The plain mean."""
    return math.fsum(values) / len(values)


def _brightness(levels: float) -> str:
    if abs(levels) < 0.05:
        return "as bright"
    return f"{abs(levels):.1f} levels {'brighter' if levels > 0 else 'darker'}"
