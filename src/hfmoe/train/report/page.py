"""A run's page: sections into one HTML file that loads nothing."""

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
    data = read_run(run)
    output = run / "report.html" if output is None else output
    text = page(data)
    unfinished = output.with_name(f".{output.name}.part")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(output)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(output)) from error
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
    return output


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
        footer(),
    )
    head = (
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        element("title", escape(f"{run.name}: training run")),
        element("style", STYLE.read_text("utf-8")),
    )
    script = element("script", SCRIPT.read_text("utf-8"))
    whole = element("head", *head) + element("body", element("main", *body), script)
    return f"<!DOCTYPE html>\n{element('html', whole, lang='en')}\n"


def footer() -> str:
    """Say what wrote the page and when."""
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    return element("footer", escape(f"Written by hfmoe {hfmoe.__version__} report, {now}."))
