"""Plots of a page: curves over steps, stacked shares, panels of curves, differences with their intervals."""

from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from hfmoe.report.formatting import short
from hfmoe.report.series import Series, bucket_means, extremes, positive, smoothed
from hfmoe.report.svg import (
    CURVES,
    FAINT,
    INK,
    PAPER,
    PRIOR,
    SHADES,
    TIDY,
    as_svg,
    drawing,
    shade,
    short_ticks,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 4.6, 2.55
"""Of a plot over steps in inches; a page shows one inch of it as about 80 pixels."""
ROW = 0.24
"""Inches of a line of intervals."""
PANELS = 3
"""Panels side by side."""


class Mark(NamedTuple):
    """A point of a curve that gets a ring."""

    step: float
    value: float


class IntervalRow(NamedTuple):
    """A named difference: its mean, the ends of its interval where there is one, single values, a colour."""

    name: str
    mean: float
    ends: tuple[float, float] | None
    values: Sequence[float]
    colour: str


def curve_svg(
    name: str,
    curves: Mapping[str, Series],
    *,
    log: bool = False,
    mark: Mark | None = None,
    breaks: Sequence[float] = (),
    smooth: bool = True,
) -> str:
    """Draw curves over steps: smoothed lines, the raw values faintly behind them.

    `name` makes the ids of the drawing unique in its page; `breaks` are steps that get a dotted line; `log`
    asks for a logarithmic axis, which curves that touch zero do not get.
    """
    with step_plot(name) as (figure, axes):
        log = log and all(map(positive, curves.values()))
        for step in breaks:
            axes.axvline(step, color=FAINT, linewidth=0.6, linestyle=(0, (1, 3)))
        for place, (label, curve) in enumerate(curves.items()):
            draw_curve(axes, curve, colour=CURVES[place % len(CURVES)], label=label, smooth=smooth, log=log)
        if log:
            logarithmic(axes, [value for curve in curves.values() for value in curve.values])
        else:
            axes.margins(y=0.08)
        if mark is not None:
            ring = {
                "markersize": 6,
                "markerfacecolor": "none",
                "markeredgewidth": 0.9,
                "markeredgecolor": INK,
            }
            axes.plot([mark.step], [mark.value], "o", **ring)
        if len(curves) > 1:
            axes.legend(loc="upper left", bbox_to_anchor=(0, 1.16), ncols=len(curves), fontsize=7.5)
        return as_svg(figure, name)


def draw_curve(axes: "Axes", curve: Series, *, colour: str, label: str, smooth: bool, log: bool) -> None:
    """Draw one curve; a single point is a dot, and where smoothing changes nothing there is one line."""
    means = smoothed(bucket_means(curve, log=log), log=log) if smooth else curve
    few = len(curve.steps) <= 12
    if means != curve:
        raw = extremes(curve)
        axes.plot(raw.steps, raw.values, color=colour, linewidth=0.5, alpha=0.4)
    marker = {"marker": "o", "markersize": 2.4} if few else {}
    axes.plot(means.steps, means.values, color=colour, linewidth=1.1, label=label.lstrip("_"), **marker)


def shares_svg(name: str, shares: Sequence[Series], *, prior: Sequence[float] | None) -> str:
    """Draw shares that sum to 1 as stacked areas, the first at the bottom, beside those of a prior."""
    with step_plot(name) as (figure, axes):
        figure.subplots_adjust(right=0.92)
        means = [smoothed(bucket_means(curve)) for curve in shares]
        steps = means[0].steps
        values = [curve.values for curve in means]
        if len(steps) == 1:
            steps, values = (0.0, *steps), [(only, only) for (only,) in values]
        colours = [SHADES[shade(place, len(shares))] for place in range(len(shares))]
        axes.stackplot(steps, *values, colors=colours, linewidth=0.4, edgecolor=PAPER)
        axes.set_xlim(steps[0], steps[-1])
        axes.set_ylim(0, 1)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
        if prior is not None:
            draw_prior(axes, prior, colours)
        return as_svg(figure, name)


def draw_prior(axes: "Axes", prior: Sequence[float], colours: Sequence[str]) -> None:
    """Draw the prior as a bar at the right and its borders as dashed lines across the areas."""
    bar = axes.inset_axes((1.025, 0, 0.035, 1))
    bar.set_axis_off()
    bar.set_ylim(0, 1)
    bottom = 0.0
    for place, (share, colour) in enumerate(zip(prior, colours, strict=True)):
        bar.bar(0, share, bottom=bottom, color=colour, linewidth=0)
        bottom += share
        if place < len(prior) - 1:
            axes.axhline(bottom, color=PRIOR, linewidth=1.2, linestyle=(0, (4, 3)))
    axes.text(1.0425, 1.03, "prior", transform=axes.transAxes, ha="center", va="bottom", fontsize=7.5)


def panels_svg(name: str, panels: Mapping[str, Mapping[str, Series]], *, first: str, x: str, y: str) -> str:
    """Draw a panel of curves for each title on shared axes; the curve called `first` keeps its colour."""
    columns = min(PANELS, len(panels))
    rows = -(-len(panels) // columns)
    with drawing(name, width=max(3.6, 2.4 * columns), height=1.75 * rows + 0.4) as figure:
        places = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
        for axes in places[len(panels) :]:
            axes.set_axis_off()
        for axes, (title, curves) in zip(places, panels.items(), strict=False):
            axes.set_title(title, fontsize=8.5, color=INK)
            axes.grid(color=FAINT, linewidth=0.4, alpha=0.6)
            for label, curve in curves.items():
                colour = CURVES[0 if label == first else 1]
                draw_curve(axes, curve, colour=colour, label=label, smooth=False, log=False)
            short_ticks(axes, x=True)
        figure.supxlabel(x, fontsize=8.5)
        figure.supylabel(y, fontsize=8.5)
        figure.tight_layout()
        return as_svg(figure, name)


def intervals_svg(name: str, rows: Sequence[IntervalRow], *, label: str) -> str:
    """Draw differences from 0 with their intervals, the first at the top, single values as ticks."""
    with drawing(name, width=7.2, height=0.75 + ROW * len(rows)) as figure:
        axes = figure.subplots()
        axes.axvline(0, color=FAINT, linewidth=0.9)
        axes.grid(axis="x", color=FAINT, linewidth=0.4, alpha=0.6)
        upwards = list(reversed(rows))
        for place, row in enumerate(upwards):
            if row.ends is not None:
                axes.plot(row.ends, (place, place), color=row.colour, linewidth=1.6, solid_capstyle="butt")
            axes.plot(row.values, [place] * len(row.values), "|", color=row.colour, markersize=7, alpha=0.6)
            axes.plot([row.mean], [place], "o", color=row.colour, markersize=4)
        axes.set_yticks(range(len(rows)), [row.name for row in upwards])
        axes.set_ylim(-0.7, len(rows) - 0.3)
        axes.set_xlabel(label)
        figure.tight_layout()
        return as_svg(figure, name)


@contextmanager
def step_plot(name: str) -> "Iterator[tuple[Figure, Axes]]":
    """Yield an empty plot over steps."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    with drawing(name, width=WIDTH, height=HEIGHT) as figure:
        axes = figure.subplots()
        figure.subplots_adjust(left=0.125, right=0.985, top=0.93, bottom=0.115)
        axes.grid(axis="y", color=FAINT, linewidth=0.4, alpha=0.6)
        axes.set_axisbelow(True)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=TIDY))
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=TIDY))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
        yield figure, axes


def logarithmic(axes: "Axes", values: Sequence[float]) -> None:
    """Set a logarithmic axis with readable ticks: even ones, 1, 2, 5 a decade, or decades, by its range."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    axes.set_yscale("log")
    span = max(values) / min(values)
    if span < 8:
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=TIDY))
    else:
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if span < 300 else (1,), numticks=8))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
