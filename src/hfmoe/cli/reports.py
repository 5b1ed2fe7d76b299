"""Writing what a command found to a file that the user named."""

import errno
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


WIDTH = 132
"""Columns of a table that goes into a file or a pipe, where no terminal says how wide it is."""


def tables() -> "Console":
    """Where tables are printed: the terminal's width, or `WIDTH` where there is none."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else WIDTH)


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
    from hfmoe.report.page import write_text

    write_text(path, text.rstrip("\n") + "\n")
