"""The work of `hfmoe report`."""

from pathlib import Path

from hfmoe.cli.errors import UsageError
from hfmoe.cli.reports import check_report


def report_run(run: Path, output: Path | None) -> None:
    """Write the page of a run and print its path. Raises UsageError for an output that is no HTML file."""
    if output is not None:
        if output.suffix.lower() not in (".html", ".htm"):
            raise UsageError(f"--output {output} must end in .html")
        check_report(output)
    from hfmoe.train.run_report import write_page

    print(write_page(run, output))  # noqa: T201 (its path is what the command gives)
