"""HTML pages that load nothing: elements whose every text is escaped, written whole or not at all."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path

import hfmoe
from hfmoe.runtime.files import write_atomically

STYLE = Path(__file__).with_name("page.css")
SCRIPT = Path(__file__).with_name("page.js")


def element(tag: str, *inner: str, **attributes: str | None) -> str:
    """Return an element around inner HTML; attribute values are escaped, None leaves an attribute out."""
    given = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
    text = "".join(f' {name}="{escape(value)}"' for name, value in given.items() if value is not None)
    return f"<{tag}{text}>{''.join(inner)}</{tag}>"


def section(identity: str, title: str, *inner: str) -> str:
    """Return a section with its title."""
    return element("section", element("h2", escape(title)), *inner, id=identity)


def header(title: str, subtitle: str, *inner: str) -> str:
    """Return the head of a page: title, subtitle and a summary."""
    what = element("p", escape(subtitle), class_="what")
    return element("header", element("h1", escape(title)), what, *inner, id="summary")


def figure(title: str, drawing: str, note: str = "") -> str:
    """Return a drawing under its title."""
    remark = element("span", escape(note)) if note else ""
    return element("figure", element("figcaption", element("b", escape(title)), remark), drawing)


def grid(figures: Iterable[str]) -> str:
    """Return figures side by side where there is room."""
    return element("div", *figures, class_="grid")


def paragraph(text: str) -> str:
    """Return a remark."""
    return element("p", escape(text), class_="remark")


def tile(name: str, value: str, note: str) -> str:
    """Return one number with its name above and a remark below."""
    parts = (("span", name), ("strong", value), ("small", note))
    return element("div", *(element(tag, escape(text)) for tag, text in parts), class_="tile")


def tiles(*inner: str) -> str:
    """Return tiles in rows."""
    return element("div", *inner, class_="tiles")


def progress_bar(share: float) -> str:
    """Return a bar filled to a share of its width."""
    return element("div", element("i", "", style=f"width:{share:.1%}"), class_="bar", role="presentation")


def legend(entries: Iterable[tuple[str, str]], remark: str = "") -> str:
    """Return names beside their colours, given as (CSS colour, name)."""
    chips = (
        element("span", element("i", "", style=f"background:{colour}"), escape(name))
        for colour, name in entries
    )
    return element("p", *chips, escape(remark), class_="legend")


def facts_table(rows: Iterable[tuple[str, str]]) -> str:
    """Return names and values in two columns."""
    lines = (
        element("tr", element("th", escape(name), scope="row"), element("td", escape(value)))
        for name, value in rows
    )
    return element("table", *lines, class_="facts")


def facts_groups(groups: Mapping[str, Iterable[tuple[str, str]]]) -> str:
    """Return tables of facts under their titles, in as many columns as fit."""
    parts = (
        element("div", element("h3", escape(title)), facts_table(rows), class_="group")
        for title, rows in groups.items()
    )
    return element("div", *parts, class_="columns")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table with a head, which scrolls sideways where it does not fit."""
    head = element("tr", *(element("th", escape(column), scope="col") for column in columns))
    body = (element("tr", *(element("td", escape(cell)) for cell in row)) for row in rows)
    whole = element("table", element("thead", head), element("tbody", *body), class_="rows")
    return element("div", whole, class_="wide")


def image(address: str, text: str, *, attributes: str = "") -> str:
    """Return an image whose data is in the page; `attributes`: further ones, as HTML."""
    return f'<img src="{address}" alt="{escape(text)}"{attributes}>'


def document(title: str, *body: str) -> str:
    """Return a whole page: style, its parts, and the script after them."""
    head = (
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        element("title", escape(title)),
        element("style", STYLE.read_text("utf-8")),
    )
    main = element("main", *body) + element("script", SCRIPT.read_text("utf-8"))
    whole = element("head", *head) + element("body", main)
    return f"<!DOCTYPE html>\n{element('html', whole, lang='en')}\n"


def footer(command: str) -> str:
    """Return what wrote the page and when."""
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    return element("footer", escape(f"Written by hfmoe {hfmoe.__version__} {command}, {now}."))


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all. Raises OSError naming path when it cannot be."""
    try:
        write_atomically(path, text)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
