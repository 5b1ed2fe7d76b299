"""HTML of values: every text is escaped here, numbers are put as people read them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any


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


def flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """List nested fields by dotted name with their values as text."""
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            rows += flat(value, f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", plain(value)))
    return rows


def plain(value: Any) -> str:
    """Write a plain value in short: none, yes, numbers, lists, mappings."""
    if value is None or value in ("", [], {}):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}" if abs(value) < 1e6 else f"{value:,.0f}"
    if isinstance(value, int):
        return f"{value:,}" if value >= 10_000 else str(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {plain(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        nested = any(isinstance(item, Mapping | list | tuple) for item in value)
        return ("; " if nested else ", ").join(plain(item) for item in value)
    return str(value)


def duration(seconds: float) -> str:
    """Give seconds, minutes, hours or days, two units at most."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    return f"{hours // 24} d {hours % 24} h"


def moment(time: float | None) -> str:
    """Give the day and minute, in UTC, of seconds since 1970; empty where there is none or no such day."""
    try:
        return "" if time is None else f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError, OSError):
        return ""


def amount(count: int) -> str:
    """Give a large number with three digits and its unit: 84.4K, 21.3M, 1.52G."""
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "K")):
        if count >= unit:
            return f"{count / unit:.3g}{letter}"
    return f"{count:.3g}"
