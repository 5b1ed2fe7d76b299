"""A run's page: sections into one HTML file that loads nothing."""

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from html import escape
from pathlib import Path

import hfmoe
from hfmoe.train.report.curves import curves_section, routing_section, tasks_section
from hfmoe.train.report.details import (
    configuration_section,
    events_section,
    hardware_section,
    pictures_section,
)
from hfmoe.train.report.overview import overview
from hfmoe.train.report.reading import RunData, read_run
from hfmoe.train.report.words import element, paragraph

STYLE = Path(__file__).with_name("page.css")
SCRIPT = Path(__file__).with_name("page.js")


def write_page(run: Path, output: Path | None = None) -> Path:
    """Write the page of a run's folder to a file, report.html in the folder by default, and give its path.

    The file appears whole or not at all. Raises RunError for a folder without a run, OSError for the file.
    """
    output = run / "report.html" if output is None else output
    write_text(output, page(read_run(run)))
    return output


def write_text(path: Path, text: str) -> None:
    """Write a file that appears whole or not at all. Raises OSError naming it."""
    unfinished = path.with_name(f".{path.name}.part")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def page(run: RunData) -> str:
    """Give the page's HTML."""
    body = (
        overview(run),
        "".join(map(paragraph, run.notes)),
        curves_section(run),
        routing_section(run),
        pictures_section(run),
        tasks_section(run),
        events_section(run),
        configuration_section(run),
        hardware_section(run),
        footer("report"),
    )
    return document(f"{run.name}: training run", body, script=SCRIPT.read_text("utf-8"))


def document(title: str, body: Iterable[str], *, script: str = "") -> str:
    """Give an HTML file that loads nothing: parts of HTML in the style of the pages."""
    head = (
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        element("title", escape(title)),
        element("style", STYLE.read_text("utf-8")),
    )
    moving = element("script", script) if script else ""
    whole = element("head", *head) + element("body", element("main", *body), moving)
    return f"<!DOCTYPE html>\n{element('html', whole, lang='en')}\n"


def footer(command: str) -> str:
    """Say which command wrote the page and when."""
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    return element("footer", escape(f"Written by hfmoe {hfmoe.__version__} {command}, {now}."))
