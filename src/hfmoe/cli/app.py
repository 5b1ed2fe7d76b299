"""Entry point of the `hfmoe` command: all its subcommands, and how errors end."""

import os
import sys
from collections.abc import Sequence

from cyclopts import CycloptsError
from cyclopts.exceptions import UnusedCliTokensError

from hfmoe.cli import learning, networks, pictures, studying
from hfmoe.cli.application import app
from hfmoe.cli.errors import USAGE, complain, guarded, hear_warnings

COMMANDS = (pictures, networks, learning, studying)
"""Modules whose commands the application has; importing them registers them."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    hear_warnings()
    try:
        return guarded(lambda: _status(app(arguments, exit_on_error=False, print_error=False)))
    except UnusedCliTokensError as error:
        left = " ".join(error.unused_tokens or ())
        complain(f"{left!r} is more than the command takes; hfmoe COMMAND --help says what it takes")
        return USAGE
    except CycloptsError as error:
        complain(error)
        return USAGE


def main() -> None:
    """Run the command line of this process and exit with its status.

    Where several processes share a run, each ends at once: as an interpreter ends, threads of their
    connection that still want something of it abort the process.
    """
    status = run(sys.argv[1:])
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def _status(result: object) -> int:
    return result if isinstance(result, int) else 0
