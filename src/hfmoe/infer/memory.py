"""How large a tile free memory allows."""

import math
import os
from pathlib import Path

import torch

SHARE = 0.5
LARGEST = 4096
"""Tiles are never planned larger than this: beyond it they save nothing."""


def free_bytes(device: torch.device) -> int:
    """Memory that new tensors on device can take, in bytes: what the system says is available."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return _half_of_physical()


def plan_tile(
    height: int,
    width: int,
    *,
    bytes_per_pixel: int,
    free: int,
    multiple: int,
    smallest: int,
    share: float = SHARE,
) -> int | None:
    """Side of square tiles, a multiple of `multiple`, whose run stays within `share` of `free` bytes.

    None means that the whole image fits. Never below `smallest` (rounded up), even when memory is short.
    """
    pixels = int(free * share) // bytes_per_pixel
    if height * width <= min(pixels, LARGEST**2):
        return None
    side = min(math.isqrt(max(pixels, 1)), LARGEST)
    return max(side // multiple, -(-smallest // multiple)) * multiple


def _half_of_physical() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (ValueError, OSError, AttributeError):
        return 2 * 1024**3
