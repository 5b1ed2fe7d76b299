"""Scores over seeds, and differences to the base paired by seed and by image."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal, NamedTuple

from hfmoe.ablate.outcomes import Outcome
from hfmoe.evaluate.compare import check_same_images, differences_of
from hfmoe.evaluate.scores import LOWER_IS_BETTER
from hfmoe.evaluate.statistics import Interval, bootstrap_crossed

Verdict = Literal["base", "better", "worse", "inside the noise", "one seed", "unknown"]


class Estimate(NamedTuple):
    """A mean over seeds and its spread: the standard deviation, None of a single seed."""

    mean: float
    spread: float | None


@dataclass(frozen=True)
class Difference:
    """A variant minus the base, paired by seed and by image.

    interval: 95 % of the mean difference when seeds and images are drawn anew, None where a difference is
    infinite; seeds: the mean difference of each seed that both have.
    """

    mean: float
    interval: Interval | None
    seeds: tuple[float, ...]


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and spread of values by seed."""
    finite = all(map(math.isfinite, values))
    return Estimate(fmean(values), stdev(values) if len(values) > 1 and finite else None)


def compare_runs(
    outcomes: Sequence[Outcome], base: Sequence[Outcome], metric: str, sets: tuple[str, ...]
) -> Difference | None:
    """Compare runs of the same seeds on the same images; None where no seed has both."""
    theirs = {outcome.run.recipe.seed: outcome.reports for outcome in base if outcome.reports}
    table = []
    for outcome in outcomes:
        other = theirs.get(outcome.run.recipe.seed)
        if outcome.reports is None or other is None:
            continue
        row: list[float] = []
        for name in sets:
            check_same_images(outcome.reports[name], other[name])
            row += differences_of(outcome.reports[name], other[name], metric)
        table.append(row)
    if not table:
        return None
    seeds = tuple(fmean(row) for row in table)
    finite = all(math.isfinite(value) for row in table for value in row)
    return Difference(fmean(seeds), bootstrap_crossed(table) if finite else None, seeds)


def judged(difference: Difference | None, metric: str) -> Verdict:
    """Say whether a difference is one: its interval leaves out 0 and all seeds agree on its sign.

    Of one seed nothing is said: its interval holds the chance of the images, not that of training.
    """
    if difference is None or difference.interval is None:
        return "unknown"
    if len(difference.seeds) < 2:
        return "one seed"
    agree = all(value > 0 for value in difference.seeds) or all(value < 0 for value in difference.seeds)
    if not agree or difference.interval.low <= 0 <= difference.interval.high:
        return "inside the noise"
    higher = difference.mean > 0
    return "better" if higher != (metric in LOWER_IS_BETTER) else "worse"
