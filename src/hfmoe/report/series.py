"""Series: values over steps, thinned to what a plot can show, and smoothed."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

SHOWN = 400
"""Buckets of steps that a long curve is thinned to."""


class Series(NamedTuple):
    """Values at their steps, in order."""

    steps: tuple[float, ...]
    values: tuple[float, ...]


def make_series(points: Mapping[int, float]) -> Series:
    """Return the series of values by step."""
    steps = sorted(points)
    return Series(tuple(map(float, steps)), tuple(float(points[step]) for step in steps))


def scaled(series: Series, factor: float) -> Series:
    """Return the series in another unit."""
    return Series(series.steps, tuple(factor * value for value in series.values))


def grouped(series: Mapping[str, Series]) -> dict[str, dict[str, Series]]:
    """Gather curves that belong on one picture, by the first or last part of their paths: the fewer groups.

    "denoise/share" and "sr/share" are a picture "share" of "denoise" and "sr"; so are "share/denoise" and
    "share/sr".
    """
    nested = [path for path in series if "/" in path]
    first = {path.partition("/")[0] for path in nested}
    last = {path.rpartition("/")[2] for path in nested}
    groups: dict[str, dict[str, Series]] = {}
    for path, curve in series.items():
        if "/" not in path:
            groups.setdefault(path, {})[path] = curve
        elif len(first) <= len(last):
            group, _, name = path.partition("/")
            groups.setdefault(group, {})[name] = curve
        else:
            name, _, group = path.rpartition("/")
            groups.setdefault(group, {})[name] = curve
    return groups


def extremes(series: Series, *, shown: int = SHOWN) -> Series:
    """Thin a curve to the least and the greatest value of each bucket, in their order: its outline stays."""
    if len(series.steps) <= 2 * shown:
        return series
    kept: list[int] = []
    for part in np.array_split(np.arange(len(series.steps)), shown):
        values = [series.values[place] for place in part]
        pair = {int(part[int(np.argmin(values))]), int(part[int(np.argmax(values))])}
        kept += sorted(pair)
    return Series(tuple(series.steps[place] for place in kept), tuple(series.values[place] for place in kept))


def bucket_means(series: Series, *, shown: int = SHOWN, log: bool = False) -> Series:
    """Thin a curve to the mean of each bucket, with `log` to the geometric one."""
    if len(series.steps) <= shown:
        return series
    parts = np.array_split(np.arange(len(series.steps)), shown)
    steps = np.asarray(series.steps, dtype=float)
    values = np.log(series.values) if log else np.asarray(series.values, dtype=float)
    means = np.array([values[part].mean() for part in parts])
    return Series(
        tuple(float(steps[part].mean()) for part in parts),
        tuple((np.exp(means) if log else means).tolist()),
    )


def smoothed(series: Series, *, log: bool = False) -> Series:
    """Average each point with neighbours, about a thirtieth of the curve on each side, less at its ends.

    Twice half as far, so that a peak becomes a hill and not a plateau; with `log` the mean is geometric, as
    an eye takes it on a logarithmic axis.
    """
    reach = round(len(series.values) / 60)
    if reach < 1:
        return series
    values = np.log(series.values) if log else np.asarray(series.values, dtype=float)
    values = moving_mean(moving_mean(values, reach=reach), reach=reach)
    return Series(series.steps, tuple((np.exp(values) if log else values).tolist()))


def moving_mean(values: Float[np.ndarray, " n"], *, reach: int) -> Float[np.ndarray, " n"]:
    """Mean over [i - r, i + r] with r = min(reach, distance to an end), so that trends are not bent there."""
    sums = np.concatenate(([0.0], np.cumsum(values)))
    place = np.arange(len(values))
    near = np.minimum(reach, np.minimum(place, len(values) - 1 - place))
    return (sums[place + near + 1] - sums[place - near]) / (2 * near + 1)


def positive(series: Series) -> bool:
    """Return whether a logarithmic axis can show the curve."""
    return all(value > 0 and math.isfinite(value) for value in series.values)
