"""The page of comparisons: a slider between the images of each, the squares that matter, tables."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from hfmoe.comparison.measures import Comparison
from hfmoe.comparison.picture import full_scale, place_maps
from hfmoe.comparison.places import Place
from hfmoe.comparison.words import difference_line, score_rows
from hfmoe.evaluate.crops import error_map
from hfmoe.evaluate.html import document, element, footer, paragraph, picture, table
from hfmoe.image.encoded import data_address
from hfmoe.image.files import Picture

STYLE = Path(__file__).with_name("page.css")
SCRIPT = Path(__file__).with_name("page.js")
MOST_BYTES = 192 * 2**20
"""Characters of whole images that a page holds at most: beyond, browsers become slow."""
HELP = (
    "Drag the line, or move it with the arrow keys. Zoom: + and -, Ctrl and the wheel (the wheel alone after "
    "a click), two fingers; 0 fits, 1 shows pixels as they are, a double click goes between both. Drag, or "
    "Shift and the arrow keys, move the zoomed image; X swaps the sides."
)


def page(title: str, summary: Sequence[str], entries: Sequence[str]) -> str:
    """Give the page's HTML: a head with a summary, and an entry an image."""
    head = element("header", element("h1", escape(title)), *summary)
    style, script = (path.read_text("utf-8") for path in (STYLE, SCRIPT))
    said = element("details", element("summary", "How to look"), paragraph(HELP), class_="help")
    return document(title, head, said, *entries, footer("compare"), style=style, script=script)


def entry(found: Comparison, name: str, *, whole: bool = True) -> str:
    """Give one image's part: the slider over the whole images unless they are left out, scores, squares."""
    head, rows = score_rows(found)
    notes = (
        [] if whole else ["The page holds no more whole images; the squares and the picture beside it stay."]
    )
    parts = (
        element("h2", escape(name)),
        element("p", escape(difference_line(found)), class_="what"),
        *map(paragraph, [*found.notes, *notes]),
        _viewer(found) if whole else "",
        table(head, rows),
        *(_square(found, place) for place in found.places),
    )
    return element("section", *parts, class_="entry")


def _viewer(found: Comparison) -> str:
    """The whole images; a script lays them over each other, without it they stand side by side."""
    height, width = found.views.first.image.shape[-2:]
    shots = [
        _shot(view.label, view.title, data_address(Picture(view.image, icc=view.icc)))
        for view in found.views.all()
    ]
    if not found.views.same:
        errors = error_map(found.views.first.image, found.views.second.image)
        level = full_scale(errors)
        title = f"difference of A and B, white = {level:g} levels of 8 bits or more"
        shots.append(_shot("difference", title, _map_address(errors, level)))
    spots = [
        element(
            "button",
            escape(place.why),
            type="button",
            data_place=",".join(str(place.square[side]) for side in range(4)),
        )
        for place in found.places
    ]
    return element(
        "div",
        element("div", *shots, class_="shots"),
        element("div", *spots, class_="spots", hidden="") if spots else "",
        class_="viewer",
        data_height=str(height),
        data_width=str(width),
    )


def _shot(label: str, title: str, address: str) -> str:
    caption = element("figcaption", escape(title))
    return element("figure", picture(address, title), caption, data_label=label)


def _square(found: Comparison, place: Place) -> str:
    """One square of every image, enlarged, and its errors."""
    square = place.square
    maps = place_maps(found)
    level = max(full_scale(values[square.place()]) for values in maps.values())
    shots = [
        _shot(view.label, view.title, data_address(Picture(view.image[square.place()].clone(), icc=view.icc)))
        for view in found.views.all()
    ]
    shots += [
        _shot(name, f"{name}, white = {level:g} levels", _map_address(values[square.place()], level))
        for name, values in maps.items()
    ]
    where = f"row {square.top}, column {square.left}, {square.width} x {square.height} pixels"
    head = element("h3", escape(f"{place.why} "), element("small", escape(where)))
    return element("div", head, element("div", *shots, class_="shots squares"))


def _map_address(values: Float[Tensor, "h w"], level: float) -> str:
    return data_address(Picture((rearrange(values, "h w -> 1 h w") / level).clamp(0, 1).float()))
