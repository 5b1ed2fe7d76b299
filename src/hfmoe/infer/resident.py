"""How much memory this process has, and has had at most."""

import os
import sys
from contextlib import suppress
from pathlib import Path

with suppress(ImportError):
    import resource  # not on Windows


def resident_mib() -> float:
    """Give the resident memory of now in MiB; where the system does not tell, the peak so far."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return peak_mib()
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def peak_mib() -> float:
    """Give the largest resident memory that this process has had, in MiB.

    Linux counts into ru_maxrss what a process was before it became this program, which is its parent's size.
    """
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 2**10
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
