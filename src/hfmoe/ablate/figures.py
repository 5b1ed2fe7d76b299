"""Figures of a study: differences with their intervals, score against cost, validation curves."""

import re
from collections.abc import Callable, Sequence
from math import isfinite
from typing import NamedTuple

from hfmoe.ablate.labels import label_points
from hfmoe.ablate.outcomes import Outcome
from hfmoe.ablate.results import Results, Row
from hfmoe.ablate.table import NAMES
from hfmoe.evaluate.html import STYLE as SHARED
from hfmoe.evaluate.scores import LOWER_IS_BETTER
from hfmoe.train.report.page import STYLE
from hfmoe.train.report.plots import CURVES, FAINT, INK, as_svg, curve_svg, draw, settings, short
from hfmoe.train.report.series import Series

COLOURS = {
    "better": CURVES[2],
    "worse": CURVES[1],
    "inside the noise": INK,
    "base": CURVES[0],
    "one seed": INK,
    "unknown": INK,
}
HEIGHT = 0.24
"""Inches of a variant's line."""
PANELS = 3
"""Curves of variants side by side."""


class Measure(NamedTuple):
    """A cost that scores are drawn against."""

    name: str
    label: str
    of: Callable[[Row], float | None]


MEASURES = (
    Measure("latency", "latency of one image, ms", lambda row: row.cost and row.cost.milliseconds.median),
    Measure("work", "active multiply-adds, G", lambda row: row.cost and row.cost.multiply_adds_active / 1e9),
    Measure("training", "training, s of processor time", lambda row: row.seconds),
)


def differences_svg(results: Results) -> str | None:
    """Draw each variant's difference to the base with its interval and seeds; None where there is none."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    rows = [
        row for row in reversed(results.rows) if row.difference is not None and isfinite(row.difference.mean)
    ]
    if not rows:
        return None
    with rc_context(settings("differences")):
        figure = Figure(figsize=(7.2, 0.75 + HEIGHT * len(rows)))
        axes = figure.subplots()
        axes.axvline(0, color=FAINT, linewidth=0.9)
        axes.grid(axis="x", color=FAINT, linewidth=0.4, alpha=0.6)
        for place, row in enumerate(rows):
            difference = row.difference
            assert difference is not None
            colour = COLOURS[row.verdict]
            if difference.interval is not None:
                axes.plot(
                    difference.interval, (place, place), color=colour, linewidth=1.6, solid_capstyle="butt"
                )
            axes.plot(
                difference.seeds, [place] * len(difference.seeds), "|", color=colour, markersize=7, alpha=0.6
            )
            axes.plot([difference.mean], [place], "o", color=colour, markersize=4)
        axes.set_yticks(range(len(rows)), [row.variant for row in rows])
        axes.set_ylim(-0.7, len(rows) - 0.3)
        better = "less" if results.metric in LOWER_IS_BETTER else "more"
        name, _, unit = NAMES.get(results.metric, results.metric).partition(", ")
        unit = unit and f"{unit}, "
        axes.set_xlabel(f"{name} minus {results.study.reference} ({unit}{better} is better)")
        figure.tight_layout()
        return as_svg(figure, "differences")


def cost_svg(results: Results, measure: Measure) -> str | None:
    """Draw scores against a cost, bars for the spread over seeds; None where fewer than two are known."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    points = [
        (row, cost)
        for row in results.rows
        if row.score is not None and isfinite(row.score.mean) and (cost := measure.of(row)) is not None
    ]
    if len(points) < 2:
        return None
    with rc_context(settings(measure.name)):
        figure = Figure(figsize=(7.2, 4.0))
        axes = figure.subplots()
        axes.grid(color=FAINT, linewidth=0.4, alpha=0.6)
        for row, cost in points:
            assert row.score is not None
            colour = COLOURS[row.verdict]
            spread = row.score.spread or 0.0
            axes.errorbar(
                [cost], [row.score.mean], [spread], fmt="o", color=colour, markersize=4, linewidth=0.8
            )
        axes.set_xlabel(measure.label)
        axes.set_ylabel(NAMES.get(results.metric, results.metric))
        axes.margins(0.12)
        axes.xaxis.set_major_formatter(lambda value, _: short(value))
        figure.tight_layout()
        label_points(axes, [(row.variant, cost, row.score.mean) for row, cost in points if row.score])
        return as_svg(figure, measure.name)


def curve_figures(results: Results) -> list[tuple[str, str]]:
    """Draw each variant's mean validation curve beside the base's, as (title, drawing)."""
    return [
        (variant, curve_svg(f"curve-{place}", curves, smooth=False))
        for place, (variant, curves) in enumerate(mean_curves(results).items())
    ]


def curves_svg(results: Results) -> str | None:
    """Draw the same as one figure, a panel a variant on shared axes; None where nothing was validated."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    found = mean_curves(results)
    if not found:
        return None
    columns = min(PANELS, len(found))
    rows = -(-len(found) // columns)
    with rc_context(settings("curves")):
        figure = Figure(figsize=(max(3.6, 2.4 * columns), 1.75 * rows + 0.4))
        panels = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
        for axes in panels[len(found) :]:
            axes.set_axis_off()
        for axes, (variant, curves) in zip(panels, found.items(), strict=False):
            axes.set_title(variant, fontsize=8.5, color=INK)
            axes.grid(color=FAINT, linewidth=0.4, alpha=0.6)
            for name, curve in curves.items():
                colour = CURVES[0 if name == results.study.reference else 1]
                draw(axes, curve, colour=colour, label=name, smooth=False, log=False)
            axes.xaxis.set_major_formatter(lambda value, _: short(value))
        base = f"; {results.study.reference} in each panel" * (len(found) > 1)
        figure.supxlabel(f"training, s of processor time{base}", fontsize=8.5)
        figure.supylabel("validation PSNR, dB", fontsize=8.5)
        figure.tight_layout()
        return as_svg(figure, "curves")


def mean_curves(results: Results) -> dict[str, dict[str, Series]]:
    """Give by variant its mean curve, the base's before it; variants without one are left out."""
    ours = mean_curve(results.base.outcomes)
    found: dict[str, dict[str, Series]] = {}
    for row in results.rows:
        curve = mean_curve(row.outcomes)
        if curve is not None:
            before = {} if ours is None or row is results.base else {results.study.reference: ours}
            found[row.variant] = {**before, row.variant: curve}
    return found


def mean_curve(outcomes: Sequence[Outcome]) -> Series | None:
    """Mean validation PSNR over seeds, over processor time, as far as every seed has come."""
    curves = [outcome.curve for outcome in outcomes if outcome.curve]
    if not curves:
        return None
    columns = list(zip(*curves, strict=False))
    seconds = tuple(sum(point.seconds for point in column) / len(column) for column in columns)
    return Series(seconds, tuple(sum(point.psnr for point in column) / len(column) for column in columns))


def standalone(svg: str) -> str:
    """Give a drawing of a page as a file of its own, in the page's light colours."""
    light = "".join(style.read_text("utf-8").partition("}")[0] for style in (SHARED, STYLE))
    for name, value in re.findall(r"(--[\w-]+):\s*([^;]+);", light):
        svg = svg.replace(f"var({name})", value.strip().replace('"', "'"))
    return svg.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
