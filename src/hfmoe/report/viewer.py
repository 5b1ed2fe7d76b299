"""Images laid over each other inside a page, with a slider between them, and squares enlarged beside."""

from collections.abc import Iterable, Mapping
from html import escape

from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from hfmoe.image.encoded import data_address
from hfmoe.image.files import Picture
from hfmoe.report.page import element, image, paragraph

HELP = (
    "Drag the line, or move it with the arrow keys. Zoom: + and -, Ctrl and the wheel (the wheel alone after "
    "a click), two fingers; 0 fits, 1 shows pixels as they are, a double click goes between both. Drag, or "
    "Shift and the arrow keys, move the zoomed image; X swaps the sides."
)


def viewer_help() -> str:
    """Return how to use the viewer, folded away."""
    return element("details", element("summary", "How to look"), paragraph(HELP), class_="help")


def viewer(
    shots: Iterable[str], *, height: int, width: int, spots: Mapping[str, tuple[int, int, int, int]]
) -> str:
    """Return shots of one size that a script lays over each other; without it they stand side by side.

    spots: buttons by their text, which zoom to (top, left, height, width).
    """
    buttons = [
        element("button", escape(text), type="button", data_place=",".join(map(str, spot)))
        for text, spot in spots.items()
    ]
    return element(
        "div",
        element("div", *shots, class_="shots"),
        element("div", *buttons, class_="spots", hidden="") if buttons else "",
        class_="viewer",
        data_height=str(height),
        data_width=str(width),
    )


def enlarged(title: str, remark: str, shots: Iterable[str]) -> str:
    """Return small squares, enlarged side by side under a title."""
    head = element("h3", escape(f"{title} "), element("small", escape(remark)))
    return element("div", head, element("div", *shots, class_="shots squares"))


def shot(label: str, title: str, address: str) -> str:
    """Return one image with its caption; label: what the viewer calls it."""
    caption = element("figcaption", escape(title))
    return element("figure", image(address, title), caption, data_label=label)


def image_shot(label: str, title: str, picture: Float[Tensor, "c h w"], *, icc: bytes | None = None) -> str:
    """Return an image to the bit in 8 bits."""
    return shot(label, title, data_address(Picture(picture, icc=icc)))


def map_shot(label: str, title: str, values: Float[Tensor, "h w"], *, white: float) -> str:
    """Return a map of numbers from 0 to white."""
    shown = (rearrange(values, "h w -> 1 h w") / white).clamp(0, 1).float()
    return shot(label, title, data_address(Picture(shown)))
