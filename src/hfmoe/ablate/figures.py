"""Figures of a study: differences with their intervals, score against cost, validation curves."""

from collections.abc import Callable, Sequence
from math import isfinite
from typing import NamedTuple

from hfmoe.ablate.results import Results, RunOutcome, VariantResult
from hfmoe.ablate.table import NAMES
from hfmoe.evaluate.scores import LOWER_IS_BETTER
from hfmoe.report.plots import IntervalRow, curve_svg, intervals_svg, panels_svg
from hfmoe.report.scatter import NamedPoint, scatter_svg
from hfmoe.report.series import Series
from hfmoe.report.svg import CURVES, INK

COLOURS = {
    "better": CURVES[2],
    "worse": CURVES[1],
    "inside the noise": INK,
    "base": CURVES[0],
    "one seed": INK,
    "unknown": INK,
}


class Measure(NamedTuple):
    """A cost that scores are drawn against."""

    name: str
    label: str
    of: Callable[[VariantResult], float | None]


MEASURES = (
    Measure("latency", "latency of one image, ms", lambda row: row.cost and row.cost.milliseconds.median),
    Measure("work", "active multiply-adds, G", lambda row: row.cost and row.cost.multiply_adds_active / 1e9),
    Measure("training", "training, s of processor time", lambda row: row.seconds),
)


def differences_svg(results: Results) -> str | None:
    """Draw each variant's difference to the base with its interval and seeds; None where there is none."""
    rows = [
        IntervalRow(row.variant, change.mean, change.interval, change.seeds, COLOURS[row.verdict])
        for row in results.rows
        if (change := row.difference) is not None and isfinite(change.mean)
    ]
    if not rows:
        return None
    better = "less" if results.metric in LOWER_IS_BETTER else "more"
    name, _, unit = NAMES.get(results.metric, results.metric).partition(", ")
    unit = unit and f"{unit}, "
    label = f"{name} minus {results.study.reference} ({unit}{better} is better)"
    return intervals_svg("differences", rows, label=label)


def cost_svg(results: Results, measure: Measure) -> str | None:
    """Draw scores against a cost, bars for the spread over seeds; None where fewer than two are known."""
    points = [
        NamedPoint(row.variant, cost, row.score.mean, row.score.spread or 0.0, COLOURS[row.verdict])
        for row in results.rows
        if row.score is not None and isfinite(row.score.mean) and (cost := measure.of(row)) is not None
    ]
    if len(points) < 2:
        return None
    return scatter_svg(measure.name, points, x=measure.label, y=NAMES.get(results.metric, results.metric))


def curve_figures(results: Results) -> list[tuple[str, str]]:
    """Draw each variant's mean validation curve beside the base's, as (title, drawing)."""
    return [
        (variant, curve_svg(f"curve-{place}", curves, smooth=False))
        for place, (variant, curves) in enumerate(mean_curves(results).items())
    ]


def curves_svg(results: Results) -> str | None:
    """Draw the same as one figure, a panel a variant on shared axes; None where nothing was validated."""
    panels = mean_curves(results)
    if not panels:
        return None
    base = f"; {results.study.reference} in each panel" * (len(panels) > 1)
    x = f"training, s of processor time{base}"
    return panels_svg("curves", panels, first=results.study.reference, x=x, y="validation PSNR, dB")


def mean_curves(results: Results) -> dict[str, dict[str, Series]]:
    """Return by variant its mean curve, the base's before it; variants without one are left out."""
    ours = mean_curve(results.base.outcomes)
    curves: dict[str, dict[str, Series]] = {}
    for row in results.rows:
        curve = mean_curve(row.outcomes)
        if curve is not None:
            before = {} if ours is None or row is results.base else {results.study.reference: ours}
            curves[row.variant] = {**before, row.variant: curve}
    return curves


def mean_curve(outcomes: Sequence[RunOutcome]) -> Series | None:
    """Return the mean validation PSNR over seeds, over processor time, as far as every seed has come."""
    curves = [outcome.curve for outcome in outcomes if outcome.curve]
    if not curves:
        return None
    columns = list(zip(*curves, strict=False))
    seconds = tuple(sum(point.seconds for point in column) / len(column) for column in columns)
    return Series(seconds, tuple(sum(point.psnr for point in column) / len(column) for column in columns))
