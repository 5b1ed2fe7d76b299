"""Intervals and tests for scores of few images: bootstrap, Wilcoxon's signed ranks, sign flips."""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

RESAMPLES = 10_000
EXACT_UP_TO = 16
"""Up to this many differences every pattern of signs is tried; beyond, `RESAMPLES` random ones."""


class Interval(NamedTuple):
    """Both ends of a confidence interval."""

    low: float
    high: float


def bootstrap_mean(
    values: Sequence[float], *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Bias-corrected and accelerated bootstrap interval of the mean.

    Source: Efron, "Better bootstrap confidence intervals", 1987. One value, or equal ones, give that value
    twice. Raises ValueError for no values, values that are not finite, or a level outside (0, 1).
    """
    data = _checked(values)
    if not 0 < level < 1:
        raise ValueError(f"level {level} must be in (0, 1)")
    if np.ptp(data) == 0:
        return Interval(float(data[0]), float(data[0]))
    means = _resampled_means(data, resamples=resamples, seed=seed)
    normal = NormalDist()
    below = (np.sum(means < data.mean()) + 0.5 * np.sum(means == data.mean())) / resamples
    bias = normal.inv_cdf(min(max(below, 0.5 / resamples), 1 - 0.5 / resamples))
    acceleration = _acceleration(data)
    ends = []
    for tail in ((1 - level) / 2, (1 + level) / 2):
        moved = bias + normal.inv_cdf(tail)
        ends.append(normal.cdf(bias + moved / (1 - acceleration * moved)))
    low, high = np.quantile(means, ends)
    return Interval(float(low), float(high))


def bootstrap_crossed(
    values: Sequence[Sequence[float]], *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Bootstrap interval of the mean of a table in which both rows and columns are samples.

    Such as differences by training seed (row) and image (column): both are drawn anew, so that neither counts
    as many independent values. One row leaves its own chance out. Source: Owen, "The pigeonhole bootstrap",
    2007, with percentiles. Errors as those of bootstrap_mean; rows of unequal length are a ValueError.
    """
    table = np.array([_checked(row) for row in values], dtype=np.float64)
    if not 0 < level < 1:
        raise ValueError(f"level {level} must be in (0, 1)")
    generator = np.random.default_rng(seed)
    rows, columns = table.shape
    means = np.empty(resamples)
    for place in range(resamples):
        drawn = np.bincount(generator.integers(0, rows, rows), minlength=rows) / rows
        weight = np.bincount(generator.integers(0, columns, columns), minlength=columns) / columns
        means[place] = drawn @ table @ weight
    low, high = np.quantile(means, ((1 - level) / 2, (1 + level) / 2))
    return Interval(float(low), float(high))


def wilcoxon(differences: Sequence[float]) -> float:
    """Return two-sided p-value of Wilcoxon's signed-rank test that the differences lie evenly around 0.

    Zeros are left out and ties share their mean rank; exact for any number, given the ranks. 1 where no
    difference is left. Source: Wilcoxon, "Individual comparisons by ranking methods", 1945.
    """
    data = _checked(differences)
    data = data[data != 0]
    if not len(data):
        return 1.0
    doubled = _doubled_ranks(np.abs(data))
    total = int(doubled.sum())
    chances = np.zeros(total + 1)
    chances[0] = 1.0
    for rank in doubled:
        moved = np.zeros_like(chances)
        moved[rank:] = chances[: total + 1 - rank]
        chances = 0.5 * (chances + moved)
    positive = int(doubled[data > 0].sum())
    smaller = min(positive, total - positive)
    return min(1.0, 2 * float(chances[: smaller + 1].sum()))


def sign_flip(differences: Sequence[float], *, resamples: int = RESAMPLES, seed: int = 0) -> float:
    """Return two-sided p-value of the mean under random signs (Fisher's randomisation test).

    Every pattern up to 16 differences, random ones beyond; the observed pattern counts among them.
    """
    data = _checked(differences)
    count = len(data)
    observed = abs(data.sum())
    if count <= EXACT_UP_TO:
        patterns = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
        sums = np.abs((1 - 2 * patterns) @ data)
        return float(np.mean(sums >= observed - _slack(data)))
    signs = 1 - 2 * np.random.default_rng(seed).integers(0, 2, (resamples, count), dtype=np.int8)
    hits = np.sum(np.abs(signs @ data) >= observed - _slack(data))
    return float((hits + 1) / (resamples + 1))


def _checked(values: Sequence[float]) -> np.ndarray:
    data = np.asarray(values, dtype=np.float64)
    if not len(data):
        raise ValueError("statistics of no values")
    if not np.isfinite(data).all():
        raise ValueError("statistics need finite values; equal images have infinite PSNR")
    return data


def _resampled_means(data: np.ndarray, *, resamples: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    means = np.empty(resamples)
    step = max(1, 2**22 // len(data))
    for start in range(0, resamples, step):
        part = generator.integers(0, len(data), (min(step, resamples - start), len(data)))
        means[start : start + step] = data[part].mean(1)
    return means


def _acceleration(data: np.ndarray) -> float:
    """Return a sixth of the skewness of the jackknife's means: those of all values but one."""
    spread = data - data.mean()
    return float(np.sum(spread**3) / (6 * math.pow(np.sum(spread**2), 1.5)))


def _doubled_ranks(sizes: np.ndarray) -> np.ndarray:
    """Return twice the mean ranks, which are whole numbers."""
    _, place, count = np.unique(sizes, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return (2 * last - count + 1)[place]


def _slack(data: np.ndarray) -> float:
    return 1e-12 * float(np.abs(data).sum())
