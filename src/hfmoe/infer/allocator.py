"""Keep freed memory in the process: on CPUs, faulting in fresh pages can cost more than computing on them."""

import ctypes
import os
import platform

HUGE_PAGES = "THP_MEM_ALLOC_ENABLE"
"""torch asks for huge pages for its large tensors where this is "1"; it reads it at its first tensor."""

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
NEVER_TRIM = 2**31 - 1
LARGEST_ON_HEAP = 32 * 2**20


def reuse_memory() -> bool:
    """Make this process keep and reuse what tensors free; True where glibc took the setting.

    Call it once, before the first tensor, in a program that restores many images or tiles on a CPU
    (the `hfmoe` command does). It changes the whole process, so no other function here calls it:
    freed memory stays with the process until it ends. No effect outside Linux with glibc.
    """
    os.environ.setdefault(HUGE_PAGES, "1")
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    kept = libc.mallopt(M_TRIM_THRESHOLD, NEVER_TRIM)
    return bool(libc.mallopt(M_MMAP_THRESHOLD, LARGEST_ON_HEAP) and kept)
