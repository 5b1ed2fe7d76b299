"""SVG drawings inside a page: colours are the page's variables, so that light, dark and print fit."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hfmoe.report.formatting import short
from hfmoe.report.page import STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TIDY = (1, 2, 2.5, 5, 10)
INK, FAINT, PAPER, PRIOR = "#010101", "#020202", "#030303", "#030304"
CURVES = tuple(f"#0401{place:02x}" for place in range(6))
SHADES = tuple(f"#0402{place:02x}" for place in range(4))
VARIABLES = {
    INK: "var(--ink)",
    FAINT: "var(--line)",
    PAPER: "var(--panel)",
    PRIOR: "var(--prior)",
    **{colour: f"var(--curve-{place})" for place, colour in enumerate(CURVES)},
    **{colour: f"var(--expert-{place})" for place, colour in enumerate(SHADES)},
}
"""Stand-ins that matplotlib draws with, and the page's colours that take their place."""
SETTINGS = {
    "svg.fonttype": "none",
    "font.size": 8.5,
    "axes.linewidth": 0.6,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.handlelength": 1.2,
    "text.parse_math": False,
}


@contextmanager
def drawing(name: str, *, width: float, height: float) -> "Iterator[Figure]":
    """Yield an empty figure, in inches; drawings of one name and content are the same bytes."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({**SETTINGS, "svg.hashsalt": name}):  # pyright: ignore[reportArgumentType]
        yield Figure(figsize=(width, height))


def as_svg(figure: "Figure", name: str) -> str:
    """Return the drawing as an <svg> element without ids of other drawings, links or colours of its own."""
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r' xmlns(:xlink)?="[^"]*"| version="[^"]*"', "", text)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = text.replace("xlink:href", "href")
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    text = re.sub(r"(font: [\d.]+px) [^;\"]*", r"\1 var(--font)", text)
    for stand_in, variable in VARIABLES.items():
        text = text.replace(stand_in, variable)
    return re.sub(r"\n\s*", "\n", text)


def standalone(svg: str) -> str:
    """Return a drawing of a page as a file of its own, in the page's light colours."""
    light = STYLE.read_text("utf-8").partition("}")[0]
    for name, value in re.findall(r"(--[\w-]+):\s*([^;]+);", light):
        svg = svg.replace(f"var({name})", value.strip().replace('"', "'"))
    return svg.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)


def shade(place: int, count: int) -> int:
    """Return which of `SHADES` one of `count` values in order takes: the first lightest, the last darkest."""
    return round(place * (len(SHADES) - 1) / max(1, count - 1))


def short_ticks(axes: "Axes", *, x: bool = False, y: bool = False) -> None:
    """Write the numbers of axes in few signs."""
    if x:
        axes.xaxis.set_major_formatter(lambda value, _: short(value))
    if y:
        axes.yaxis.set_major_formatter(lambda value, _: short(value))
