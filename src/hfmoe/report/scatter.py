"""Scatter plots whose points are named: no label lies over another where there is room."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from hfmoe.report.svg import FAINT, INK, as_svg, drawing, short_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 7.2, 4.0
"""In inches."""
GAP, AWAY, MARKER = 5.0, 14.0, 3.0
"""Points of space between a label and its point, the same where it moved away, and a marker's radius."""


class NamedPoint(NamedTuple):
    """A named point, half the length of its error bar, and its colour."""

    name: str
    x: float
    y: float
    spread: float
    colour: str


def scatter_svg(name: str, points: Sequence[NamedPoint], *, x: str, y: str) -> str:
    """Draw points with error bars and their names; x and y label the axes."""
    with drawing(name, width=WIDTH, height=HEIGHT) as figure:
        axes = figure.subplots()
        axes.grid(color=FAINT, linewidth=0.4, alpha=0.6)
        for point in points:
            colour = point.colour
            axes.errorbar(
                [point.x], [point.y], [point.spread], fmt="o", color=colour, markersize=4, linewidth=0.8
            )
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.margins(0.12)
        short_ticks(axes, x=True)
        figure.tight_layout()
        label_points(axes, [(point.name, point.x, point.y) for point in points])
        return as_svg(figure, name)


class Box(NamedTuple):
    """A rectangle."""

    left: float
    bottom: float
    right: float
    top: float

    def meets(self, other: "Box") -> bool:
        """Return whether they have some area in common."""
        across = self.left < other.right and other.left < self.right
        return across and self.bottom < other.top and other.bottom < self.top

    def within(self, other: "Box") -> bool:
        """Return whether all of it lies in another."""
        across = self.left >= other.left and self.right <= other.right
        return across and self.bottom >= other.bottom and self.top <= other.top


def place_labels(
    points: Sequence[tuple[float, float]], sizes: Sequence[tuple[float, float]], inside: Box
) -> list[Box]:
    """Return each label of width and height its place: the nearest that is free, upper points first.

    Labels that find none inside stay beside their points.
    """
    taken = [Box(x - MARKER, y - MARKER, x + MARKER, y + MARKER) for x, y in points]
    placed: dict[int, Box] = {}
    for place in sorted(range(len(points)), key=lambda place: -points[place][1]):
        tried = list(_places(points[place], sizes[place], steps=4 * len(points) + 4))
        free = (box for box in tried if box.within(inside) and not any(map(box.meets, taken)))
        placed[place] = next(free, tried[0])
        taken.append(placed[place])
    return [placed[place] for place in range(len(points))]


def _places(point: tuple[float, float], size: tuple[float, float], *, steps: int) -> Iterator[Box]:
    """List places to both sides of a point, farther and farther up and down by half a line."""
    (x, y), (width, height) = point, size
    for step in range(steps):
        gap = GAP if step == 0 else AWAY
        for rise in dict.fromkeys((step, -step)):
            bottom = y + (rise - 1) * height / 2
            for left in (x + gap, x - gap - width):
                yield Box(left, bottom, left + width, bottom + height)


def label_points(axes: "Axes", points: Sequence[tuple[str, float, float]], *, fontsize: float = 7.5) -> None:
    """Write the names of (name, x, y) beside the points of a laid-out drawing, whose limits stay."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    axes.set_xlim(axes.get_xlim())
    axes.set_ylim(axes.get_ylim())
    inch = 72 / figure.dpi
    notes = [axes.annotate(name, (x, y), fontsize=fontsize) for name, x, y in points]
    extents = [note.get_window_extent() for note in notes]
    at = [axes.transData.transform((x, y)) for _, x, y in points]
    places = [(inch * float(right), inch * float(up)) for right, up in at]
    inside = Box(*(inch * float(value) for value in axes.bbox.extents))
    boxes = place_labels(
        places, [(inch * float(extent.width), inch * float(extent.height)) for extent in extents], inside
    )
    for (name, x, y), note, (right, up), box in zip(points, notes, places, boxes, strict=True):
        note.remove()
        after = box.left > right
        moved = abs((box.bottom + box.top) / 2 - up) > 1
        line = {"arrowstyle": "-", "linewidth": 0.4, "color": INK, "shrinkA": 0, "shrinkB": 2}
        axes.annotate(
            name,
            (x, y),
            xytext=((box.left if after else box.right) - right, box.bottom - up),
            textcoords="offset points",
            fontsize=fontsize,
            verticalalignment="bottom",
            horizontalalignment="left" if after else "right",
            arrowprops={**line, "relpos": (0.0 if after else 1.0, 0.5)} if moved else None,
        )
