"""The picture of a comparison: both images, their difference, the squares that matter, energies."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from hfmoe.comparison.measures import Comparison
from hfmoe.comparison.places import Place
from hfmoe.comparison.views import View
from hfmoe.comparison.words import difference_line, score_line
from hfmoe.evaluate.crops import error_map
from hfmoe.evaluate.figure import new_figure, save_figure, show_image, show_map
from hfmoe.image.resize import resize
from hfmoe.inspection.panels import draw_spectrum

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

WIDTH = 14.0
"""Inches across."""
LARGEST_SIDE = 1400
"""Pixels that a whole image is shown with at most: the squares show the rest."""
COLOURS = ("#ee6677", "#4477aa", "#228833", "#ccbb44", "#aa3377")
"""Of the squares, in their order."""


def full_scale(values: Float[Tensor, "*shape"]) -> float:
    """The brightest level of a map of differences: the power of two above all but a thousandth of it."""
    flat = values.flatten().float()
    highest = float(flat.kthvalue(max(1, round(0.999 * flat.numel()))).values) if flat.numel() else 0.0
    level = 2.0
    while level < min(highest, 256):
        level *= 2
    return level


def draw_comparison(found: Comparison, path: Path) -> None:
    """Write the picture as PNG. Raises ImportError without matplotlib, ImageError naming path."""
    views = found.views.all()
    height, width = views[0].image.shape[-2:]
    columns = len(views) + 1
    shape = min(max(height / width, 0.2), 2.5)
    tall = shape * WIDTH / columns + 0.8
    rows = [tall, *(WIDTH / (columns + bool(found.views.truth)) + 0.5 for _ in found.places), 4.2]
    figure = new_figure(width=WIDTH, height=sum(rows) + 0.8)
    figure.suptitle("\n".join([difference_line(found), *score_line(found), *found.notes]), fontsize=10)
    parts = figure.subfigures(len(rows), 1, height_ratios=rows, squeeze=False)[:, 0]
    _draw_whole(parts[0], found)
    level = _level_of_places(found)
    for part, place, colour in zip(parts[1:-1], found.places, _cycle(len(found.places)), strict=True):
        _draw_place(part, found, place, colour, level)
    draw_spectrum(parts[-1], _energy(found), scale=1, reference=found.reference)
    save_figure(figure, path)


def _draw_whole(part: "SubFigure", found: Comparison) -> None:
    views = found.views.all()
    axes = part.subplots(1, len(views) + 1, squeeze=False)[0]
    for axis, view in zip(axes, views, strict=False):
        show_image(axis, _shrunk(view.image), view.title)
        _outline(axis, found)
    errors = error_map(found.views.first.image, found.views.second.image)
    level = full_scale(errors)
    label = f"8-bit levels, 0 to {level:g}"
    show_map(axes[-1], _shrunk(errors[None])[0], "difference of A and B", low=0.0, high=level, label=label)


def _draw_place(part: "SubFigure", found: Comparison, place: Place, colour: str, level: float) -> None:
    """One square of every image, and the maps that tell them apart, all on one scale."""
    square = place.square
    where = f"row {square.top}, column {square.left}, {square.width} x {square.height}"
    part.suptitle(f"{place.why} ({where})", fontsize=10, color=colour)
    views = found.views.all()
    maps = place_maps(found)
    axes = part.subplots(1, len(views) + len(maps), squeeze=False)[0]
    for axis, view in zip(axes, views, strict=False):
        show_image(axis, view.image[square.place()], _short(view))
        for edge in axis.spines.values():
            edge.set(color=colour, linewidth=2)
    for axis, (title, values) in zip(axes[len(views) :], maps.items(), strict=True):
        last = axis is axes[-1]
        label = f"8-bit levels, 0 to {level:g}" if last else ""
        show_map(axis, values[square.place()], title, low=0.0, high=level, label=label)


def place_maps(found: Comparison) -> dict[str, Float[Tensor, "h w"]]:
    """Errors of A and B against the truth; without one, how A and B differ."""
    views = found.views
    if views.truth is None:
        return {"difference of A and B": error_map(views.first.image, views.second.image)}
    return {
        f"error of {view.label}": error_map(view.image, views.truth.image)
        for view in (views.first, views.second)
    }


def _level_of_places(found: Comparison) -> float:
    parts = [
        values[place.square.place()].flatten()
        for values in place_maps(found).values()
        for place in found.places
    ]
    return full_scale(torch.cat(parts)) if parts else 2.0


def _energy(found: Comparison) -> dict[str, Tensor]:
    titles = {view.label: _short(view) for view in found.views.all()}
    return {titles[label]: ratio for label, ratio in found.energy.items()}


def _short(view: View) -> str:
    """Label and the end of the name."""
    return f"{view.label}: {view.name[-28:]}"


def _outline(axes: "Axes", found: Comparison) -> None:
    """Frames around the squares, at the size that the image is shown with."""
    from matplotlib.patches import Rectangle

    shrink = _shrinking(found.views.first.image)
    for place, colour in zip(found.places, _cycle(len(found.places)), strict=True):
        square = place.square
        corner = (square.left * shrink - 0.5, square.top * shrink - 0.5)
        size = (square.width * shrink, square.height * shrink)
        axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=colour, linewidth=1.6))


def _cycle(count: int) -> list[str]:
    return [COLOURS[place % len(COLOURS)] for place in range(count)]


def _shrinking(image: Tensor) -> float:
    return min(1.0, LARGEST_SIDE / max(image.shape[-2:]))


def _shrunk(image: Float[Tensor, "c h w"]) -> Float[Tensor, "c H W"]:
    """The image, or as much smaller as the picture can show."""
    shrink = _shrinking(image)
    if shrink == 1:
        return image
    return resize(
        image, size=(max(1, round(image.shape[-2] * shrink)), max(1, round(image.shape[-1] * shrink)))
    )
