"""Forked children: which threads of their parent's libraries they must not wait for.

After a fork only the thread that forked lives on; pools of OpenMP and libvips are gone, and whoever
hands them work waits for ever.
"""

import os
import sys
from contextlib import suppress

_LIBRARIES: dict[str, int] = {}
"""Process in which each library last started its threads."""


class ForkError(RuntimeError):
    """Work that a forked child cannot do, because its parent has used the same library."""


def survive_forks() -> None:
    """Let children that this process forks from now on run torch in one thread, which needs no pool."""
    if "torch" not in _LIBRARIES and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_run_in_one_thread)
    _LIBRARIES["torch"] = os.getpid()


def _run_in_one_thread() -> None:
    with suppress(Exception):
        sys.modules["torch"].set_num_threads(1)


def check_fork(library: str) -> None:
    """Note that this process uses a library with threads. Raises ForkError where a parent did before."""
    used_in = _LIBRARIES.setdefault(library, os.getpid())
    if used_in != os.getpid():
        raise ForkError(
            f"this process was forked after its parent had used {library}, whose threads no fork copies; "
            "start workers with multiprocessing's 'spawn' or 'forkserver', or read no image before the fork"
        )
