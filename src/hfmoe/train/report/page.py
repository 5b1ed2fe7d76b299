"""A run's page: sections into one HTML file that loads nothing."""

from pathlib import Path

from hfmoe.evaluate.html import document, footer, paragraph, write_whole
from hfmoe.train.report.curves import curves_section, routing_section, tasks_section
from hfmoe.train.report.details import (
    configuration_section,
    events_section,
    hardware_section,
    pictures_section,
)
from hfmoe.train.report.overview import overview
from hfmoe.train.report.reading import RunData, read_run

STYLE = Path(__file__).with_name("page.css")
SCRIPT = Path(__file__).with_name("page.js")


def write_page(run: Path, output: Path | None = None) -> Path:
    """Write the page of a run's folder to a file, report.html in the folder by default, and give its path.

    The file appears whole or not at all. Raises RunError for a folder without a run, OSError for the file.
    """
    data = read_run(run)
    output = run / "report.html" if output is None else output
    write_whole(output, page(data))
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
        footer("report"),
    )
    title = f"{run.name}: training run"
    return document(title, *body, style=STYLE.read_text("utf-8"), script=SCRIPT.read_text("utf-8"))
