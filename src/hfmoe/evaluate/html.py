"""HTML pages that load nothing: elements whose every text is escaped, and files written whole."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path

import hfmoe
from hfmoe.runtime.files import write_atomically

STYLE = Path(__file__).with_name("html.css")
"""Colours, fonts, tables: what all pages share."""


def element(tag: str, *inner: str, **attributes: str | None) -> str:
    """Give an element around inner HTML; attribute values are escaped, None leaves an attribute out."""
    given = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
    text = "".join(f' {name}="{escape(value)}"' for name, value in given.items() if value is not None)
    return f"<{tag}{text}>{''.join(inner)}</{tag}>"


def section(identity: str, title: str, *inner: str) -> str:
    """Give a section with its title."""
    return element("section", element("h2", escape(title)), *inner, id=identity)


def figure(title: str, svg: str, note: str = "") -> str:
    """Give a drawing under its title."""
    said = element("span", escape(note)) if note else ""
    return element("figure", element("figcaption", element("b", escape(title)), said), svg)


def paragraph(text: str) -> str:
    """Give a line of remark."""
    return element("p", escape(text), class_="remark")


def facts_table(rows: Iterable[tuple[str, str]]) -> str:
    """Give names and values in two columns."""
    lines = (element("tr", element("th", escape(name), scope="row"), element("td", escape(value)))
             for name, value in rows)  # fmt: skip
    return element("table", *lines, class_="facts")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Give a table with a head, which scrolls sideways where it does not fit."""
    head = element("tr", *(element("th", escape(column), scope="col") for column in columns))
    body = (element("tr", *(element("td", escape(cell)) for cell in row)) for row in rows)
    whole = element("table", element("thead", head), element("tbody", *body), class_="rows")
    return element("div", whole, class_="wide")


def picture(address: str, text: str, *, data: str = "") -> str:
    """Give an image whose data is in the page; `data`: further attributes, as HTML."""
    return f'<img src="{address}" alt="{escape(text)}"{data}>'


def document(title: str, *body: str, style: str = "", script: str = "") -> str:
    """Give a whole page: the shared style and its own, its parts, and a script after them."""
    head = (
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        element("title", escape(title)),
        element("style", STYLE.read_text("utf-8"), style),
    )
    whole = element("head", *head) + element("body", element("main", *body), element("script", script))
    return f"<!DOCTYPE html>\n{element('html', whole, lang='en')}\n"


def footer(command: str) -> str:
    """Say what wrote the page and when."""
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    return element("footer", escape(f"Written by hfmoe {hfmoe.__version__} {command}, {now}."))


def write_whole(path: Path, text: str) -> None:
    """Write text to path, whole or not at all. Raises OSError naming path when it cannot be."""
    try:
        write_atomically(path, text.encode("utf-8"))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
