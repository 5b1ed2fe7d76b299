"""The page of comparisons: a slider between the images of each, the squares that matter, tables."""

from collections.abc import Sequence
from html import escape

from hfmoe.compare.measures import Comparison
from hfmoe.compare.picture import error_maps
from hfmoe.compare.spots import Spot
from hfmoe.compare.tables import difference_line, score_rows
from hfmoe.evaluate.pictures import error_map
from hfmoe.report.page import document, element, footer, paragraph, table
from hfmoe.report.sheet import brightest
from hfmoe.report.viewer import enlarged, image_shot, map_shot, viewer, viewer_help

MOST_BYTES = 192 * 2**20
"""Characters of whole images that a page holds at most: beyond, browsers become slow."""


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
    maps = {name: values[square.place()] for name, values in error_maps(comparison).items()}
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
