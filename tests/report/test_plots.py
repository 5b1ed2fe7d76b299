"""Curves are thinned without losing their peaks, and numbers are written in few signs."""

import pytest

from hfmoe.report.formatting import short
from hfmoe.report.series import Series, bucket_means, extremes, grouped, smoothed


def test_long_curves_are_thinned_with_peaks_kept_and_trends_unbent():
    steps = tuple(float(step) for step in range(100_000))
    line = Series(steps, tuple(2 * step for step in steps))
    assert smoothed(bucket_means(line)).values == pytest.approx(
        [2 * step for step in bucket_means(line).steps]
    )
    peaked = line._replace(values=tuple(1e9 if step == 777 else 0.0 for step in steps))
    assert len(extremes(peaked).steps) <= 800
    assert (max(extremes(peaked).values), min(extremes(peaked).values)) == (1e9, 0.0)
    assert extremes(peaked).steps[extremes(peaked).values.index(1e9)] == 777


def test_curves_that_belong_together_share_a_picture():
    one = Series((1.0,), (1.0,))
    by_task = {f"{task}/{field}": one for task in ("sr", "jpeg", "denoise") for field in ("share", "level")}
    by_field = {f"{field}/{task}": one for task in ("sr", "jpeg", "denoise") for field in ("share", "level")}
    expected = {field: dict.fromkeys(("sr", "jpeg", "denoise"), one) for field in ("share", "level")}
    assert grouped(by_task) == grouped(by_field) == expected
    assert grouped({"level": one}) == {"level": {"level": one}}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (20_000.0, "20k"),
        (1.5e6, "1.5M"),
        (0.05, "0.05"),
        (1e-4, "1e-4"),
        (-2.5e-5, "-2.5e-5"),
        (12.0, "12"),
    ],
)
def test_ticks_are_short(value: float, text: str):
    assert short(value) == text
