"""How cost grows: a power of the number of pixels through measured points."""

import math
from collections.abc import Sequence
from typing import NamedTuple


class PowerFit(NamedTuple):
    """cost = a * pixels^b by least squares of the logarithms.

    error: standard error of b, None of two points, through which a power always goes. steepest: the largest
    exponent between neighbouring points.
    """

    a: float
    b: float
    error: float | None
    steepest: float

    def at(self, pixels: int) -> float:
        """Cost of an input of so many pixels by this law."""
        return self.a * pixels**self.b


def fit_power(pixels: Sequence[int], costs: Sequence[float]) -> PowerFit:
    """Fit a power. Raises ValueError for fewer than two different sizes or values that are not above 0."""
    if len(set(pixels)) < 2 or len(pixels) != len(costs):
        raise ValueError(f"a fit needs costs at two sizes or more, not {len(set(pixels))}")
    if min(*pixels, *costs) <= 0:
        raise ValueError("sizes and costs of a fit must be above 0")
    points = sorted(zip(map(math.log, pixels), map(math.log, costs), strict=True))
    count = len(points)
    mean_x, mean_y = (math.fsum(axis) / count for axis in zip(*points, strict=True))
    spread = math.fsum((x - mean_x) ** 2 for x, _ in points)
    b = math.fsum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    rest = math.fsum((y - mean_y - b * (x - mean_x)) ** 2 for x, y in points)
    error = math.sqrt(rest / (count - 2) / spread) if count > 2 else None
    steps = [(d - b_) / (c - a_) for (a_, b_), (c, d) in zip(points, points[1:], strict=False) if c > a_]
    return PowerFit(math.exp(mean_y - b * mean_x), b, error, max(steps))
