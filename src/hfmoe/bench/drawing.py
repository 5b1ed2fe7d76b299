"""How time and memory grow with the input, as a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hfmoe.bench.fit import PowerFit
from hfmoe.bench.report import Benchmark, Growth, Row
from hfmoe.evaluate.figure import new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_growth(found: Benchmark, path: Path) -> None:
    """Draw milliseconds, quartiles as bars, and peak memory where measured, over the input's pixels.

    All axes are logarithmic; lines are the power laws fitted to the points. Raises ImageError naming path
    when it cannot be written.
    """
    known = any(row.peak_mib is not None for row in found.rows)
    figure = new_figure(width=9.6 if known else 5.2, height=3.8)
    panels = figure.subplots(1, 2 if known else 1, squeeze=False)[0]
    figure.suptitle(f"{found.model}: {found.machine.processor}, {found.machine.date}", fontsize=10)
    laws = {(growth.form, growth.effort): growth for growth in found.growth}
    drawn: set[str] = set()
    for (form, effort), rows in curves(found.rows).items():
        law = laws.get((form, effort))
        draw_times(panels[0], rows, law)
        if known and form not in drawn:  # peaks are those of the highest effort, at all of them
            draw_peaks(panels[1], rows, law)
            drawn.add(form)
    for axes, label in zip(panels, (f"ms, {found.clock} clock", "peak memory, MiB"), strict=False):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("input pixels")
        axes.set_ylabel(label)
        axes.grid(which="both", linewidth=0.3, alpha=0.5)
        if axes.lines:
            axes.legend(fontsize=8)
    save_figure(figure, path)


def curves(rows: Sequence[Row]) -> dict[tuple[str, float], list[Row]]:
    """Rows by form and effort, small inputs first."""
    found: dict[tuple[str, float], list[Row]] = {}
    for row in sorted(rows, key=lambda row: row.case.pixels):
        found.setdefault((row.case.form, row.case.effort), []).append(row)
    return found


def draw_times(axes: "Axes", rows: Sequence[Row], growth: Growth | None) -> None:
    """Draw the times of a form at an effort."""
    pixels = [row.case.pixels for row in rows]
    middles = [row.milliseconds.median for row in rows]
    below = [row.milliseconds.median - row.milliseconds.low for row in rows]
    above = [row.milliseconds.high - row.milliseconds.median for row in rows]
    label = f"{rows[0].case.form}, effort {rows[0].case.effort:g}"
    if growth is not None:
        label += f": b = {growth.time.b:.3f}"
    bars = axes.errorbar(pixels, middles, [below, above], fmt="o", markersize=4, linewidth=0.9, label=label)
    draw_law(axes, pixels, growth and growth.time, colour=bars.lines[0].get_color())


def draw_peaks(axes: "Axes", rows: Sequence[Row], growth: Growth | None) -> None:
    """Draw the peaks of a form that were measured."""
    taken = [(row.case.pixels, row.peak_mib) for row in rows if row.peak_mib is not None]
    if not taken:
        return
    pixels, peaks = zip(*taken, strict=True)
    fit = growth and growth.memory
    label = rows[0].case.form if fit is None else f"{rows[0].case.form}: b = {fit.b:.3f}"
    (marks,) = axes.plot(pixels, peaks, "o", markersize=4, label=label)
    draw_law(axes, pixels, fit, colour=marks.get_color())


def draw_law(axes: "Axes", pixels: Sequence[int], fit: PowerFit | None, *, colour: object) -> None:
    """Draw a power law over the range that it was fitted to."""
    if fit is not None:
        ends = (min(pixels), max(pixels))
        axes.plot(ends, [fit.at(end) for end in ends], color=colour, linewidth=0.9, alpha=0.6)
