"""How many threads to run a network in."""

import os

from hfmoe.image.arrays import loaded_torch


def processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_threads() -> int:
    """As many as torch uses: what it was told, OMP_NUM_THREADS, else one for each processor."""
    torch = loaded_torch()
    if torch is not None:
        return torch.get_num_threads()
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdecimal() and int(asked) else processors()
