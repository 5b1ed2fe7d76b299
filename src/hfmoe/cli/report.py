"""`hfmoe report`: the page of a training run."""

from pathlib import Path

from hfmoe.cli.errors import UsageError
from hfmoe.cli.output import check_report
from hfmoe.train.run_report import write_page


def report(run: Path, /, *, output: Path | None = None) -> None:
    """Write one HTML page about a training run: curves, pictures, routing, configuration, hardware.

    Parameters
    ----------
    run
        The folder that the run writes to; the run may still be going on.
    output
        The page's file, ending in .html; default report.html in the run's folder.
    """
    if output is not None:
        if output.suffix.lower() not in (".html", ".htm"):
            raise UsageError(f"--output {output} must end in .html")
        check_report(output)
    print(write_page(run, output))  # noqa: T201 (its path is what the command gives)
