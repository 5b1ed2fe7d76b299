"""The work of `hfmoe compare`: two images or folders side by side, as a table, pictures and a page."""

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from hfmoe.cli.errors import FAILED, UsageError, complain
from hfmoe.cli.reports import tables
from hfmoe.cli.scoring import load_distances
from hfmoe.compare import Comparison, Options, compare_files
from hfmoe.compare.tables import difference_line, mean_rows, score_rows, wins
from hfmoe.image.files import printable
from hfmoe.report.figure import check_matplotlib


def compare(
    paths: tuple[Path, Path, Path | None],
    output: Path | None,
    *,
    side: int,
    border: int,
    lpips: Path | None,
    dists: Path | None,
) -> int:
    """Compare, write, print tables and where the files are; 1 when an image of a folder failed."""
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
        console.print(_table(*mean_rows(done.rows)))
        lines = wins(done.rows)
    else:
        console.print(_table(*score_rows(last[0])))
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


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(head[0])
    for column in head[1:]:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(*row)
    return table
