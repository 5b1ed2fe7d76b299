"""`hfmoe compare`: two images or folders side by side, as a table, pictures and a page."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from hfmoe.cli.errors import FAILED, UsageError, complain
from hfmoe.cli.output import table, tables
from hfmoe.compare import Comparison, Options, compare_files
from hfmoe.compare.report import difference_line, mean_rows, score_rows, wins
from hfmoe.evaluate.scores import load_distances
from hfmoe.image.files import printable
from hfmoe.report.figure import check_matplotlib


def compare(
    first: Annotated[Path, Parameter(name="A")],
    second: Annotated[Path, Parameter(name="B")],
    truth: Annotated[Path | None, Parameter(name="TRUTH")] = None,
    /,
    *,
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
        An image file, or a folder of images.
    second
        Another, of the same size, or smaller by a whole factor: then it is enlarged by bicubic
        interpolation. Images of folders are matched by their names without suffix and without the -x4 of
        results.
    truth
        What both should be: adds scores, and the squares where each is farthest from it.
    output
        Folder for picture, page and scores, <B>-comparison beside B by default.
    side
        Side of the enlarged squares, in pixels.
    border
        Pixels on each side that do not count, as `hfmoe evaluate` leaves out as many as the scale.
    lpips
        Weights of LPIPS (python -m hfmoe.metrics.weights makes the file); adds that score.
    dists
        Weights of DISTS; adds that score.
    """
    paths = (first, second, truth)
    _check(paths, output)
    check_matplotlib()
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


def _check(paths: tuple[Path, Path, Path | None], output: Path | None) -> None:
    """UsageError for what is not there and for an output that is a file."""
    given = [path for path in paths if path is not None]
    for path in given:
        if not path.exists():
            raise UsageError(f"{path}: no such file or folder")
    if output is not None and output.exists() and not output.is_dir():
        raise UsageError(f"--output {output} is a file; a folder is needed")
