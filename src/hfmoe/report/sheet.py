"""Pictures of rows of cells: each cell draws one image, map, kernel or curve that it is given."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from hfmoe.report.figure import bare, new_figure, pixels, save_figure, show_image, show_map

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

CHOICES = ("#4477aa", "#eecc33", "#cc3344", "#882299")
"""Colours of choices, cheapest first: cool to hot."""
LINES = ("#cc3344", "#4477aa", "#228833")
"""Colours of the lines of a spectrum."""


@runtime_checkable
class Cell(Protocol):
    """One drawing of a picture."""

    def draw(self, axes: "Axes") -> None:
        """Draw into axes of its own."""
        ...


@dataclass(frozen=True)
class Row:
    """Cells side by side under a title; height in inches."""

    cells: Sequence[Cell]
    height: float = 1.0
    title: str = ""
    colour: str | None = None
    fontsize: float | None = None

    def draw(self, figure: "FigureBase") -> None:
        """Draw into a figure or a part of one."""
        style = {"fontsize": self.fontsize, "color": self.colour}
        if self.title:
            figure.suptitle(self.title, **{name: value for name, value in style.items() if value is not None})
        columns = figure.subplots(1, len(self.cells), squeeze=False)[0]
        for axes, cell in zip(columns, self.cells, strict=True):
            cell.draw(axes)


def write_row(row: Row, path: Path, *, width: float) -> None:
    """Write one row as PNG. Raises ImportError without matplotlib, ImageError naming path."""
    figure = new_figure(width=width, height=row.height)
    row.draw(figure)
    save_figure(figure, path)


def write_rows(rows: Sequence[Row], path: Path, *, width: float, title: str = "", head: float = 0.0) -> None:
    """Write rows below each other as PNG; head: inches for the title. Errors as those of `write_row`."""
    heights = [row.height for row in rows]
    figure = new_figure(width=width, height=sum(heights) + head)
    if title:
        figure.suptitle(title, fontsize=10)
    parts = figure.subfigures(len(rows), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, row in zip(parts, rows, strict=True):
        row.draw(part)
    save_figure(figure, path)


def write_grid(
    cells: Sequence[Sequence[Cell]],
    path: Path,
    *,
    width: float,
    height: float,
    title: str = "",
    bar: str = "",
) -> None:
    """Write cells in rows and columns as PNG; bar: label of one scale for the maps of the last row."""
    figure = new_figure(width=width, height=height)
    if title:
        figure.suptitle(title)
    axes = figure.subplots(len(cells), len(cells[0]), squeeze=False)
    for line, row in zip(axes, cells, strict=True):
        for axis, cell in zip(line, row, strict=True):
            cell.draw(axis)
    if bar:
        shown = axes[-1, -1].images[0]
        figure.colorbar(shown, ax=axes[-1, :], location="bottom", shrink=0.5, label=bar)
    save_figure(figure, path)


@dataclass(frozen=True)
class Frame:
    """A rectangle over an image, in its pixels from the upper left corner, with a label in a legend."""

    top: float
    left: float
    height: float
    width: float
    colour: str
    label: str | None = None

    def draw(self, axes: "Axes") -> None:
        """Draw the outline."""
        from matplotlib.patches import Rectangle

        line = 1.6 if self.label is None else 1.4
        corner, size = (self.left - 0.5, self.top - 0.5), (self.width, self.height)
        style: dict[str, Any] = {"fill": False, "edgecolor": self.colour, "linewidth": line}
        axes.add_patch(Rectangle(corner, *size, label=self.label, **style))


@dataclass(frozen=True)
class ImageCell:
    """An image of 1 or 3 channels in [0, 1], with frames over it; edge: colour around all of it."""

    image: Float[Tensor, "c h w"]
    title: str
    frames: Sequence[Frame] = ()
    edge: str | None = None

    def draw(self, axes: "Axes") -> None:
        """Draw the pixels as they are."""
        show_image(axes, self.image, self.title)
        for frame in self.frames:
            frame.draw(axes)
        if self.edge is not None:
            for side in axes.spines.values():
                side.set(color=self.edge, linewidth=2)


@dataclass(frozen=True)
class MapCell:
    """A map of numbers between its darkest and brightest, with a scale where it has a label.

    reach: pixels around the middle that are shown, all without it.
    """

    values: Float[Tensor, "h w"]
    title: str
    low: float
    high: float
    label: str = ""
    frames: Sequence[Frame] = ()
    reach: int | None = None

    def draw(self, axes: "Axes") -> None:
        """Draw the map, and a legend of its frames."""
        show_map(axes, self.values, self.title, low=self.low, high=self.high, label=self.label)
        if self.reach is not None:
            middle = self.values.shape[0] // 2
            axes.set_xlim(middle - self.reach - 0.5, middle + self.reach + 0.5)
            axes.set_ylim(middle + self.reach + 0.5, middle - self.reach - 0.5)
        for frame in self.frames:
            frame.draw(axes)
        if self.frames:
            place: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.01)}
            axes.legend(**place, ncols=2, fontsize=9, facecolor="#888888")


@dataclass(frozen=True)
class ChoiceCell:
    """An image in gray under the choice of each pixel, 0 the first of the labels, which a legend names."""

    image: Float[Tensor, "c h w"]
    chosen: Shaped[Tensor, "h w"]
    labels: Sequence[str]
    title: str

    def draw(self, axes: "Axes") -> None:
        """Draw the overlay."""
        from matplotlib.colors import ListedColormap
        from matplotlib.patches import Patch

        axes.imshow(pixels(self.image.mean(0, keepdim=True)), interpolation="nearest")
        colours: Any = ListedColormap(CHOICES[: len(self.labels)])
        axes.imshow(self.chosen.numpy(), cmap=colours, vmin=-0.5, vmax=len(self.labels) - 0.5, alpha=0.45)
        patches = [
            Patch(color=CHOICES[index], alpha=0.7, label=label) for index, label in enumerate(self.labels)
        ]
        axes.legend(handles=patches, loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=2, fontsize=8)
        bare(axes, self.title)


@dataclass(frozen=True)
class KernelCell:
    """A small kernel with its numbers, coloured up to `most` on both sides of 0."""

    kernel: Float[Tensor, "k k"]
    title: str
    most: float

    def draw(self, axes: "Axes") -> None:
        """Draw the kernel."""
        axes.imshow(self.kernel.numpy(), cmap="coolwarm", vmin=-self.most, vmax=self.most)
        for row, values in enumerate(self.kernel.tolist()):
            for column, value in enumerate(values):
                axes.text(column, row, f"{value:+.2f}", ha="center", va="center", fontsize=8)
        bare(axes, self.title)


@dataclass(frozen=True)
class ShareCell:
    """A curve of shares that rises to 1 over whole distances, up to `reach`."""

    shares: Sequence[float]
    reach: int
    title: str
    x: str
    y: str

    def draw(self, axes: "Axes") -> None:
        """Draw the curve."""
        axes.plot(list(range(len(self.shares))), self.shares, color="#4477aa")
        axes.set_xlabel(self.x)
        axes.set_ylabel(self.y)
        axes.set_ylim(0, 1.02)
        axes.set_xlim(0, self.reach)
        axes.grid(alpha=0.3)
        axes.set_title(self.title, fontsize=10)


@dataclass(frozen=True)
class SpectrumCell:
    """Energy over that of a reference by radial frequency, by name; above 1 is sharper than that."""

    ratios: Mapping[str, Float[Tensor, " n"]]
    reference: str
    scale: int = 1

    def draw(self, axes: "Axes") -> None:
        """Draw the ratios on a logarithmic axis."""
        for (name, ratio), colour in zip(self.ratios.items(), LINES, strict=False):
            places = (np.arange(len(ratio)) + 0.5) / (2 * len(ratio))
            axes.plot(places, ratio.numpy(), label=name, color=colour, linewidth=1.8)
        axes.axhline(1, color="black", linewidth=0.8)
        remark = f"above: sharper than {self.reference}; below: blurred"
        axes.text(0.005, 1.04, remark, fontsize=9, va="bottom")
        if self.scale > 1:
            axes.axvline(0.5 / self.scale, color="gray", linestyle=":")
            axes.text(0.5 / self.scale + 0.004, 1.6, "finest of the input", fontsize=9, color="gray")
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        drawn = torch.cat(list(self.ratios.values()))
        drawn = drawn[torch.isfinite(drawn) & (drawn > 0)]
        floor = min(0.5, float(drawn.min())) if len(drawn) else 0.5
        axes.set_ylim(max(floor * 0.8, 1e-4), 3)
        axes.yaxis.set_minor_formatter("{x:g}" if floor > 0.1 else "")
        axes.set_xlim(0, 0.5)
        axes.set_xlabel("radial frequency in cycles a pixel of the result")
        axes.set_ylabel(f"energy / energy of {self.reference}")
        axes.grid(alpha=0.3, which="both")
        axes.legend()


@dataclass(frozen=True)
class NoteCell:
    """A sentence in place of a drawing."""

    text: str

    def draw(self, axes: "Axes") -> None:
        """Write the sentence."""
        axes.text(0.5, 0.5, self.text, ha="center", va="center")
        axes.set_axis_off()


def spectrum_row(
    ratios: Mapping[str, Float[Tensor, " n"]], *, reference: str, scale: int = 1, height: float
) -> Row:
    """Return a row with the energy of images over that of a reference."""
    title = f"Sharpness: energy over that of {reference} by radial frequency of the luma"
    return Row((SpectrumCell(ratios, reference, scale),), height, title)


def brightest(values: Float[Tensor, "*shape"]) -> float:
    """Return the white of a map of differences: the power of two above all but a thousandth of it."""
    flat = values.flatten().float()
    highest = float(flat.kthvalue(max(1, round(0.999 * flat.numel()))).values) if flat.numel() else 0.0
    level = 2.0
    while level < min(highest, 256):
        level *= 2
    return level
