"""Output of commands: tables on the screen, and text in files that the user named."""

import errno
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from hfmoe.runtime.files import write_atomically

WIDTH = 132
"""Columns of a table that goes into a file or a pipe, where no terminal says how wide it is."""


def tables() -> Console:
    """Where tables are printed: the terminal's width, or `WIDTH` where there is none."""
    return Console(width=None if sys.stdout.isatty() else WIDTH)


def table(
    title: str | None, head: Sequence[str], rows: Iterable[Sequence[str]] = (), *, left: int = 1
) -> Table:
    """A table whose columns are numbers, flush right, but for the first few and those without a name."""
    made = Table(title=title)
    for place, name in enumerate(head):
        made.add_column(name, justify="left" if place < left or not name else "right")
    for row in rows:
        made.add_row(*row)
    return made


def check_report(path: Path) -> None:
    """OSError naming the path when no file can be written there: asked before the work, not after it."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder", str(path))
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, f"the folder {path.parent} does not exist", str(path))
    trial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_report(path: Path, text: str) -> None:
    """Write text to path, whole or not at all. Raises OSError naming path when it cannot be."""
    try:
        write_atomically(path, text.rstrip("\n") + "\n")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
