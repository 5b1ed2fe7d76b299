"""Plots as SVG inside a page: colours are the page's variables, so that light, dark and paper fit."""

import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from hfmoe.train.report.series import Series, bucket_means, extremes, positive, smoothed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (4.6, 2.55)
"""Width and height in inches; a page shows one inch of it as about 80 pixels."""
TIDY = (1, 2, 2.5, 5, 10)
INK, FAINT, PAPER, PRIOR = "#010101", "#020202", "#030303", "#030304"
CURVES = tuple(f"#0401{place:02x}" for place in range(6))
EXPERTS = tuple(f"#0402{place:02x}" for place in range(4))
VARIABLES = {
    INK: "var(--ink)",
    FAINT: "var(--line)",
    PAPER: "var(--panel)",
    PRIOR: "var(--prior)",
    **{colour: f"var(--curve-{place})" for place, colour in enumerate(CURVES)},
    **{colour: f"var(--expert-{place})" for place, colour in enumerate(EXPERTS)},
}
"""Stand-ins that matplotlib draws with, and the page's colours that take their place."""
SETTINGS = {
    "svg.fonttype": "none",
    "font.size": 8.5,
    "axes.linewidth": 0.6,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.handlelength": 1.2,
    "text.parse_math": False,
}


def settings(name: str) -> dict[Any, Any]:
    """Give matplotlib's settings for a drawing; the same name gives the same bytes."""
    return {**SETTINGS, "svg.hashsalt": name}


class Mark(NamedTuple):
    """A point of a curve that gets a ring."""

    step: float
    value: float


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

    `name` makes the ids of the drawing unique in its page; `breaks` are steps at which a session began;
    `log` asks for a logarithmic axis, which curves that touch zero do not get.
    """
    from matplotlib import rc_context

    with rc_context(settings(name)):
        figure, axes = blank()
        log = log and all(map(positive, curves.values()))
        for step in breaks:
            axes.axvline(step, color=FAINT, linewidth=0.6, linestyle=(0, (1, 3)))
        for colour, (label, curve) in zip(cycle(CURVES, len(curves)), curves.items(), strict=True):
            draw(axes, curve, colour=colour, label=label, smooth=smooth, log=log)
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


def draw(axes: "Axes", curve: Series, *, colour: str, label: str, smooth: bool, log: bool) -> None:
    """Draw one curve; a single point is a dot, and where smoothing changes nothing there is one line."""
    means = smoothed(bucket_means(curve, log=log), log=log) if smooth else curve
    few = len(curve.steps) <= 12
    if means != curve:
        raw = extremes(curve)
        axes.plot(raw.steps, raw.values, color=colour, linewidth=0.5, alpha=0.4)
    marker = {"marker": "o", "markersize": 2.4} if few else {}
    axes.plot(means.steps, means.values, color=colour, linewidth=1.1, label=label.lstrip("_"), **marker)


def load_svg(name: str, experts: Sequence[Series], *, prior: Sequence[float] | None) -> str:
    """Draw the shares of a layer's experts as stacked areas, cheap ones below, beside those of the prior."""
    from matplotlib import rc_context

    with rc_context(settings(name)):
        figure, axes = blank()
        figure.subplots_adjust(right=0.92)
        means = [smoothed(bucket_means(curve)) for curve in experts]
        steps = means[0].steps
        values = [curve.values for curve in means]
        if len(steps) == 1:
            steps, values = (0.0, *steps), [(only, only) for (only,) in values]
        colours = [EXPERTS[shade(place, len(experts))] for place in range(len(experts))]
        axes.stackplot(steps, *values, colors=colours, linewidth=0.4, edgecolor=PAPER)
        axes.set_xlim(steps[0], steps[-1])
        axes.set_ylim(0, 1)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
        if prior is not None:
            beside(axes, prior, colours)
        return as_svg(figure, name)


def beside(axes: "Axes", prior: Sequence[float], colours: Sequence[str]) -> None:
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


def shade(place: int, count: int) -> int:
    """Choose an expert's colour so that the cheapest is the lightest and the heaviest the darkest."""
    return round(place * (len(EXPERTS) - 1) / max(1, count - 1))


def blank() -> "tuple[Figure, Axes]":
    """Make an empty plot over steps."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    figure = Figure(figsize=SIZE)
    axes = figure.subplots()
    figure.subplots_adjust(left=0.125, right=0.985, top=0.93, bottom=0.115)
    axes.grid(axis="y", color=FAINT, linewidth=0.4, alpha=0.6)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=TIDY))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: short(step)))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=TIDY))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    return figure, axes


def logarithmic(axes: "Axes", values: Sequence[float]) -> None:
    """Give a logarithmic axis readable ticks: even ones, 1, 2, 5 a decade, or decades, by its range."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    axes.set_yscale("log")
    span = max(values) / min(values)
    if span < 8:
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=TIDY))
    else:
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if span < 300 else (1,), numticks=8))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))


def short(value: float) -> str:
    """Write a number in few signs: 20k, 1.5M, 0.05, 1e-4."""
    size = abs(value)
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if size >= unit:
            return f"{value / unit:.4g}{letter}"
    if size and size < 1e-3:
        mantissa, _, exponent = f"{value:.1e}".partition("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    return f"{round(value, 10):.4g}"


def cycle(colours: Sequence[str], count: int) -> list[str]:
    """Repeat colours until there are enough."""
    return [colours[place % len(colours)] for place in range(count)]


def as_svg(figure: "Figure", name: str) -> str:
    """Give the drawing as an <svg> element without ids of other drawings, links or colours of its own."""
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r' xmlns(:xlink)?="[^"]*"| version="[^"]*"', "", text)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = text.replace("xlink:href", "href")
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    text = re.sub(r"(font: [\d.]+px) [^;\"]*", r"\1 var(--font)", text)
    for stand_in, variable in VARIABLES.items():
        text = text.replace(stand_in, variable)
    return re.sub(r"\n\s*", "\n", text)
