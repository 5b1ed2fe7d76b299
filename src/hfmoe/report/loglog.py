"""Log-log plots of measurements with power laws fitted to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hfmoe.report.figure import new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Measured:
    """Values at sizes, perhaps with the ends of their bars, and the law's values at both ends."""

    label: str
    x: Sequence[int]
    y: Sequence[float]
    bars: tuple[Sequence[float], Sequence[float]] | None = None
    law: tuple[tuple[int, int], tuple[float, float]] | None = None

    def draw(self, axes: "Axes") -> None:
        """Draw points, bars and the law's line in one colour."""
        if self.bars is None:
            (marks,) = axes.plot(self.x, self.y, "o", markersize=4, label=self.label)
        else:
            drawn = axes.errorbar(
                self.x, self.y, self.bars, fmt="o", markersize=4, linewidth=0.9, label=self.label
            )
            marks = drawn.lines[0]
        if self.law is not None:
            axes.plot(*self.law, color=marks.get_color(), linewidth=0.9, alpha=0.6)


def write_loglog(
    panels: dict[str, Sequence[Measured]], path: Path, *, title: str, x: str, width: float
) -> None:
    """Write panels side by side, by the label of their y axis, as PNG. Raises ImageError naming path."""
    figure = new_figure(width=width, height=3.8)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    figure.suptitle(title, fontsize=10)
    for axis, (label, curves) in zip(axes, panels.items(), strict=True):
        for curve in curves:
            curve.draw(axis)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xlabel(x)
        axis.set_ylabel(label)
        axis.grid(which="both", linewidth=0.3, alpha=0.5)
        if axis.lines:
            axis.legend(fontsize=8)
    save_figure(figure, path)
