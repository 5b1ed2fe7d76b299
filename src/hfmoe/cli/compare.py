"""`hfmoe compare`: two images, folders or models side by side, as a table, pictures and a page."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from hfmoe.batch.dispatch import restore_files
from hfmoe.cli.errors import FAILED, UsageError, complain
from hfmoe.cli.output import table, tables
from hfmoe.compare import Comparison, Options, compare_files
from hfmoe.compare.files import default_folder
from hfmoe.compare.report import difference_line, mean_rows, score_rows, wins
from hfmoe.evaluate.scores import load_distances
from hfmoe.image.files import READ_SUFFIXES, printable
from hfmoe.infer.api import load
from hfmoe.report.figure import check_matplotlib


def compare(
    first: Annotated[str, Parameter(name="A")],
    second: Annotated[str, Parameter(name="B")],
    truth: Annotated[Path | None, Parameter(name="TRUTH")] = None,
    /,
    *,
    input: Path | None = None,
    output: Path | None = None,
    side: int = 96,
    border: int = 0,
    lpips: Path | None = None,
    dists: Path | None = None,
) -> int:
    """Show two images side by side, where they differ and how they score, with a page to slide between them.

    Parameters
    ----------
    first
        An image file, or a folder of images; with --input, also a model, whose results are compared.
    second
        Another, of the same size, or smaller by a whole factor: then it is enlarged by bicubic
        interpolation. Images of folders are matched by their names without suffix and without the -x4 of
        results.
    truth
        What both should be: adds scores, and the squares where each is farthest from it.
    input
        An image or a folder that A and B restore where they are models: any that `hfmoe restore` takes.
    output
        Folder for picture, page and scores, <B>-comparison beside B by default, or
        <input>-comparison, which then holds the restored images, too.
    side
        Side of the enlarged squares, in pixels.
    border
        Pixels on each side that do not count, as `hfmoe evaluate` leaves out as many as the scale.
    lpips
        Weights of LPIPS (python -m hfmoe.metrics.weights makes the file); adds that score.
    dists
        Weights of DISTS; adds that score.
    """
    given = [path for path in (first, second, truth, input) if path is not None]
    _check([Path(path) for path in given if input is None or path not in (first, second)], output)
    check_matplotlib()
    if input is not None:
        output = output or default_folder(input)
    paths = (_result("A", first, input, output), _result("B", second, input, output), truth)
    try:
        options = Options(side, border)
    except ValueError as error:
        raise UsageError(f"--{error}") from error
    options = Options(side, border, load_distances(lpips, dists))
    last: list[Comparison] = []
    with Console(stderr=True).status(f"comparing {paths[0]} and {paths[1]}") as status:

        def tell(name: str, found: Comparison) -> None:
            status.update(f"compared {name}")
            last[:] = [found]

        done = compare_files(*paths, output=output, options=options, on_image=tell)
    console = tables()
    if len(done.rows) > 1:
        console.print(table(None, *mean_rows(done.rows)))
        lines = wins(done.rows)
    else:
        console.print(table(None, *score_rows(last[0])))
        lines = [difference_line(last[0]), *last[0].notes]
    for line in [*lines, *done.alone]:
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    for path in done.written:
        sys.stdout.write(f"{printable(path)}\n")
    for line in done.failed:
        complain(line)
    return FAILED if done.failed else 0


def _result(side: str, place: str, source: Path | None, output: Path | None) -> Path:
    """Return A or B: what is there, or what the model of that name makes of the source, below output."""
    is_image = Path(place).is_dir() or Path(place).suffix.lower() in READ_SUFFIXES
    if source is None or output is None or is_image:
        return Path(place)
    restorer = load(place)
    folder = output / f"{side}-{restorer.facts.name}"
    summary = restore_files(source, str(folder) + os.sep, model=restorer)
    for failed in summary.failed:
        complain(failed.reason)
    made = [Path(done.job.target) for done in summary.done] + [Path(job.target) for job in summary.skipped]
    if not made:
        raise ValueError(f"{place} restored nothing of {source}")
    return folder if source.is_dir() else made[0]


def _check(given: Sequence[Path], output: Path | None) -> None:
    """UsageError for what is not there and for an output that is a file."""
    for path in given:
        if not path.exists():
            raise UsageError(f"{path}: no such file or folder")
    if output is not None and output.exists() and not output.is_dir():
        raise UsageError(f"--output {output} is a file; a folder is needed")
