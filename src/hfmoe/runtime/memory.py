"""Memory of this process: resident, peak, and how the allocator reuses it."""

import ctypes
import os
import platform
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

with suppress(ImportError):
    import resource  # not on Windows

HUGE_PAGES = "THP_MEM_ALLOC_ENABLE"
"""torch asks for huge pages for its large tensors where this is "1"; it reads it at its first tensor."""

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
NEVER_TRIM = 2**31 - 1
LARGEST_ON_HEAP = 32 * 2**20


def reuse_memory() -> bool:
    """Make this process keep and reuse what tensors free; True where glibc took the setting.

    On CPUs, faulting in fresh pages can cost more than computing on them. Call it once, before the first
    tensor, in a program that restores many images or tiles on a CPU (the `hfmoe` command does). It changes
    the whole process, so no other function here calls it: freed memory stays with the process until it ends.
    No effect outside Linux with glibc.
    """
    os.environ.setdefault(HUGE_PAGES, "1")
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    kept = libc.mallopt(M_TRIM_THRESHOLD, NEVER_TRIM)
    return bool(libc.mallopt(M_MMAP_THRESHOLD, LARGEST_ON_HEAP) and kept)


def resident_mib() -> float:
    """Return the resident memory of now in MiB; where the system does not tell, the peak so far."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return peak_mib()
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def peak_mib() -> float:
    """Return the largest resident memory that this process has had, in MiB.

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


def added_peak_mib(work: Callable[[], object]) -> float:
    """Return the MiB that work adds to the resident memory of a process that has done all but this."""
    resting = resident_mib()
    work()
    return max(peak_mib() - resting, 0.0)
