"""Report of comparisons: sentences and tables, the picture of each image, and the page with a slider."""

import math
from collections.abc import Sequence
from html import escape
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from hfmoe.compare.measures import BANDS, Comparison, Spot
from hfmoe.compare.views import View
from hfmoe.evaluate.pictures import error_map
from hfmoe.evaluate.scores import COLUMNS, LOWER_IS_BETTER
from hfmoe.image.resize import resize
from hfmoe.report.page import document, element, footer, paragraph, table
from hfmoe.report.sheet import Frame, ImageCell, MapCell, Row, brightest, spectrum_row, write_rows
from hfmoe.report.viewer import enlarged, image_shot, map_shot, viewer, viewer_help

WIDTH = 14.0
"""Inches across."""
LARGEST_SIDE = 1400
"""Pixels that a whole image is shown with at most: the squares show the rest."""
COLOURS = ("#ee6677", "#4477aa", "#228833", "#ccbb44", "#aa3377")
"""Of the squares, in their order."""


class ScoreRow(NamedTuple):
    """Scores of one image, by label and score."""

    name: str
    reference: str
    scores: dict[str, dict[str, float]]


def difference_line(comparison: Comparison) -> str:
    """Return how A and B differ, in one line."""
    if comparison.views.same:
        return "A and B are the same image: every sample is equal"
    d = comparison.difference
    if d.largest == 0:
        return "A and B are equal in 8 bits"
    brightness = f"{abs(d.brighter):.1f} levels {'brighter' if d.brighter > 0 else 'darker'}"
    return (
        f"A and B differ by {d.mean:.2f} levels of 8 bits on average and up to {d.largest:.0f}, "
        f"on {d.changed:.1%} of the pixels; {d.psnr:.2f} dB apart; "
        f"B is {brightness if abs(d.brighter) >= 0.05 else 'as bright'}"
    )


def score_line(comparison: Comparison) -> list[str]:
    """Return the scores of each image against its reference, a line each."""
    return [
        f"{label} against {comparison.reference}: "
        + ", ".join(f"{COLUMNS[name][0]} {_cell(name, value)}" for name, value in scores.items())
        for label, scores in comparison.scores.items()
    ]


def score_rows(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows of the scores and of the energy over that of the reference."""
    names = list(dict.fromkeys(name for scores in comparison.scores.values() for name in scores))
    bands = [f"energy, {band}" for band in BANDS]
    head = ["", *(COLUMNS[name][0] for name in names), *bands]
    energy = comparison.bands()
    rows = [
        [
            f"{label} against {comparison.reference}",
            *(_cell(name, scores[name]) if name in scores else "" for name in names),
            *(f"{value:.3g}" if math.isfinite(value) else "" for value in energy[label]),
        ]
        for label, scores in comparison.scores.items()
    ]
    return head, rows


def mean_rows(rows: Sequence[ScoreRow]) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows of the mean scores; a score that an image lacks is left out."""
    names = _names(rows)
    head = [f"mean of {len(rows)} images", *(COLUMNS[name][0] for name in names)]
    body = []
    for label in rows[0].scores:
        means = {name: math.fsum(row.scores[label][name] for row in rows) / len(rows) for name in names}
        body.append([f"{label} against {rows[0].reference}", *(_cell(*mean) for mean in means.items())])
    return head, body


def wins(rows: Sequence[ScoreRow]) -> list[str]:
    """Return how often A and B are better, a sentence a score; empty without a truth."""
    if "A" not in rows[0].scores:
        return []
    lines = []
    for name in _names(rows):
        sign = -1 if name in LOWER_IS_BETTER else 1
        pairs = [(sign * row.scores["A"][name], sign * row.scores["B"][name]) for row in rows]
        better, worse = sum(b > a for a, b in pairs), sum(b < a for a, b in pairs)
        lines.append(f"{COLUMNS[name][0]}: B is better on {better} and A on {worse} of {len(rows)} images.")
    return lines


def _names(rows: Sequence[ScoreRow]) -> list[str]:
    """Return the scores that every image has."""
    shared = [set(scores) for row in rows for scores in row.scores.values()]
    return [name for name in COLUMNS if all(name in names for names in shared)]


def _cell(name: str, value: float) -> str:
    """Return a score as its column writes it."""
    return f"{value:{COLUMNS[name][1]}}"


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
    shrink = _shrinking(views[0].image)
    frames = []
    for spot, colour in zip(comparison.places, cycle(COLOURS), strict=False):
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
    maps = _error_maps(comparison)
    parts = [values[spot.square.place()].flatten() for values in maps.values() for spot in comparison.places]
    white = brightest(torch.cat(parts)) if parts else 2.0
    return [
        _spot_row(comparison, spot, maps, colour, white)
        for spot, colour in zip(comparison.places, cycle(COLOURS), strict=False)
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


def _error_maps(comparison: Comparison) -> dict[str, Float[Tensor, "h w"]]:
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


def _shrinking(image: Tensor) -> float:
    """Return how many times as large an image is shown as it is, at most once."""
    return min(1.0, LARGEST_SIDE / max(image.shape[-2:]))


def _shrunk(image: Float[Tensor, "c h w"]) -> Float[Tensor, "c H W"]:
    """Return the image, or as much smaller as the picture can show."""
    shrink = _shrinking(image)
    if shrink == 1:
        return image
    height, width = (max(1, round(side * shrink)) for side in image.shape[-2:])
    return resize(image, size=(height, width))


def page(title: str, summary: Sequence[str], entries: Sequence[str]) -> str:
    """Return the page's HTML: a head with a summary, and an entry an image."""
    head = element("header", element("h1", escape(title)), *summary)
    return document(title, head, viewer_help(), *entries, footer("compare"))


def entry(comparison: Comparison, name: str, *, whole: bool = True) -> str:
    """Return one image's part: the slider over the whole images unless they are left out, scores, squares."""
    head, rows = score_rows(comparison)
    notes = (
        [] if whole else ["The page holds no more whole images; the squares and the picture beside it stay."]
    )
    parts = (
        element("h2", escape(name)),
        element("p", escape(difference_line(comparison)), class_="what"),
        *map(paragraph, [*comparison.notes, *notes]),
        _viewer(comparison) if whole else "",
        table(head, rows),
        *(_square(comparison, spot) for spot in comparison.places),
    )
    return element("section", *parts, class_="entry")


def _viewer(comparison: Comparison) -> str:
    views = comparison.views
    height, width = views.first.image.shape[-2:]
    shots = [image_shot(view.label, view.title, view.image, icc=view.icc) for view in views.all()]
    if not views.same:
        errors = error_map(views.first.image, views.second.image)
        white = brightest(errors)
        title = f"difference of A and B, white = {white:g} levels of 8 bits or more"
        shots.append(map_shot("difference", title, errors, white=white))
    spots = {spot.why: spot.square[:4] for spot in comparison.places}
    return viewer(shots, height=height, width=width, spots=spots)


def _square(comparison: Comparison, spot: Spot) -> str:
    """Return one square of every image, enlarged, and its errors."""
    square = spot.square
    maps = {name: values[square.place()] for name, values in _error_maps(comparison).items()}
    white = max(map(brightest, maps.values()))
    shots = [
        image_shot(view.label, view.title, view.image[square.place()].clone(), icc=view.icc)
        for view in comparison.views.all()
    ]
    shots += [
        map_shot(name, f"{name}, white = {white:g} levels", values, white=white)
        for name, values in maps.items()
    ]
    where = f"row {square.top}, column {square.left}, {square.width} x {square.height} pixels"
    return enlarged(spot.why, where, shots)
