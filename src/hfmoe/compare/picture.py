"""The picture of a comparison: both images, their difference, the squares that matter, energies."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from hfmoe.compare.measures import Comparison
from hfmoe.compare.spots import Spot
from hfmoe.compare.tables import difference_line, score_line
from hfmoe.compare.views import View
from hfmoe.evaluate.pictures import error_map
from hfmoe.image.resize import resize
from hfmoe.report.sheet import Frame, ImageCell, MapCell, Row, brightest, spectrum_row, write_rows

WIDTH = 14.0
"""Inches across."""
LARGEST_SIDE = 1400
"""Pixels that a whole image is shown with at most: the squares show the rest."""
COLOURS = ("#ee6677", "#4477aa", "#228833", "#ccbb44", "#aa3377")
"""Of the squares, in their order."""


def draw_comparison(comparison: Comparison, path: Path) -> None:
    """Write the picture as PNG. Raises ImportError without matplotlib, ImageError naming path."""
    energies = {
        _short(view): comparison.energy[view.label]
        for view in comparison.views.all()
        if view.label in comparison.energy
    }
    rows = [
        _whole_row(comparison),
        *_spot_rows(comparison),
        spectrum_row(energies, reference=comparison.reference, height=4.2),
    ]
    lines = [difference_line(comparison), *score_line(comparison), *comparison.notes]
    write_rows(rows, path, width=WIDTH, title="\n".join(lines), head=0.8)


def _whole_row(comparison: Comparison) -> Row:
    """Return both images, the truth and the difference, as small as the picture can show."""
    views = comparison.views.all()
    height, width = views[0].image.shape[-2:]
    shape = min(max(height / width, 0.2), 2.5)
    shrink = shrinking(views[0].image)
    frames = []
    for spot, colour in zip(comparison.places, _cycle(len(comparison.places)), strict=True):
        top, left, tall, wide = (shrink * side for side in spot.square[:4])
        frames.append(Frame(top, left, tall, wide, colour))
    images = [ImageCell(_shrunk(view.image), view.title, frames) for view in views]
    errors = error_map(comparison.views.first.image, comparison.views.second.image)
    white = brightest(errors)
    label = f"8-bit levels, 0 to {white:g}"
    difference = MapCell(_shrunk(errors[None])[0], "difference of A and B", 0.0, white, label)
    return Row([*images, difference], shape * WIDTH / (len(views) + 1) + 0.8)


def _spot_rows(comparison: Comparison) -> list[Row]:
    """Return a row of every square, all on one scale."""
    maps = error_maps(comparison)
    parts = [values[spot.square.place()].flatten() for values in maps.values() for spot in comparison.places]
    white = brightest(torch.cat(parts)) if parts else 2.0
    colours = _cycle(len(comparison.places))
    return [
        _spot_row(comparison, spot, maps, colour, white)
        for spot, colour in zip(comparison.places, colours, strict=True)
    ]


def _spot_row(
    comparison: Comparison, spot: Spot, maps: dict[str, Float[Tensor, "h w"]], colour: str, white: float
) -> Row:
    """Return one square of every image, and the maps that tell them apart."""
    square = spot.square
    images = [
        ImageCell(view.image[square.place()], _short(view), edge=colour) for view in comparison.views.all()
    ]
    label = f"8-bit levels, 0 to {white:g}"
    last = list(maps)[-1]
    errors = [
        MapCell(values[square.place()], title, 0.0, white, label if title == last else "")
        for title, values in maps.items()
    ]
    title = f"{spot.why} (row {square.top}, column {square.left}, {square.width} x {square.height})"
    height = WIDTH / (len(images) + len(errors)) + 0.5
    return Row([*images, *errors], height, title, colour, fontsize=10.0)


def error_maps(comparison: Comparison) -> dict[str, Float[Tensor, "h w"]]:
    """Return the errors of A and B against the truth; without one, how A and B differ."""
    views = comparison.views
    if views.truth is None:
        return {"difference of A and B": error_map(views.first.image, views.second.image)}
    return {
        f"error of {view.label}": error_map(view.image, views.truth.image)
        for view in (views.first, views.second)
    }


def _short(view: View) -> str:
    """Return label and the end of the name."""
    return f"{view.label}: {view.name[-28:]}"


def _cycle(count: int) -> list[str]:
    return [COLOURS[place % len(COLOURS)] for place in range(count)]


def shrinking(image: Tensor) -> float:
    """Return how many times as large an image is shown as it is, at most once."""
    return min(1.0, LARGEST_SIDE / max(image.shape[-2:]))


def _shrunk(image: Float[Tensor, "c h w"]) -> Float[Tensor, "c H W"]:
    """Return the image, or as much smaller as the picture can show."""
    shrink = shrinking(image)
    if shrink == 1:
        return image
    height, width = (max(1, round(side * shrink)) for side in image.shape[-2:])
    return resize(image, size=(height, width))
