"""Free memory: how much there is, how large a tile it allows, and what happens when it runs out."""

import gc
import math
import os
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from hfmoe.image.arrays import loaded_torch
from hfmoe.infer.tiles import TileGeometry

SHARE = 0.5
LARGEST = 4096
"""Tiles are never planned larger than this: beyond it they save nothing."""
MOST_AT_ONCE = 16
"""Tiles in a batch: beyond it an accelerator gains nothing."""


@runtime_checkable
class Device(Protocol):
    """A torch.device, or what stands for the CPU where torch is not there."""

    @property
    def type(self) -> str:
        """cpu, cuda or mps."""
        ...


class Processor(NamedTuple):
    """The CPU, as a device."""

    type: str = "cpu"

    def __str__(self) -> str:
        return self.type


CPU = Processor()


def free_bytes(device: Device) -> int:
    """Memory that new tensors on device can take, in bytes: what the system, and a container, allow."""
    torch = loaded_torch()
    if device.type == "cuda" and torch is not None:
        return torch.cuda.mem_get_info(device)[0]
    return min(_available(), _container_room())


def _available() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return _half_of_physical()


def _container_room(root: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes left below the limit of a control group (version 2), file cache counted as free; else 2**63."""
    try:
        limit, used = ((root / f"memory.{name}").read_text().strip() for name in ("max", "current"))
        stat = dict(line.split() for line in (root / "memory.stat").read_text().splitlines())
        if limit != "max":
            return max(0, int(limit) - int(used) + int(stat.get("inactive_file", 0)))
    except (OSError, ValueError):
        pass
    return 2**63


def plan_tile(
    height: int,
    width: int,
    *,
    geometry: TileGeometry,
    free: int,
    at_once: int = 1,
    share: float = SHARE,
) -> int | None:
    """Side of square tiles whose runs, `at_once` together, stay within `share` of `free` bytes.

    None means that the whole image fits. Never below the smallest tile, even when memory is short.
    """
    pixels = int(free * share) // (geometry.bytes_per_pixel * at_once)
    whole = geometry.largest is None or max(height, width) <= geometry.largest
    if whole and height * width <= min(pixels, LARGEST**2):
        return None
    side = min(math.isqrt(max(pixels, 1)), geometry.largest or LARGEST)
    return max(side // geometry.multiple * geometry.multiple, geometry.smallest)


def plan_batch(
    tile: int | None, *, bytes_per_pixel: int, free: int, device: Device, share: float = SHARE
) -> int:
    """Tiles of a side that run at once within `share` of `free` bytes; on CPUs, which gain nothing, 1."""
    if tile is None or device.type == "cpu":
        return 1
    return max(1, min(MOST_AT_ONCE, int(free * share) // (bytes_per_pixel * tile**2)))


def _half_of_physical() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (ValueError, OSError, AttributeError):
        return 2 * 1024**3


_SAYINGS = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "failed to allocate",
    "alloc_failed",
    "bad_alloc",
    "bad alloc",
)


def is_shortage(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, on a CPU, a GPU, or in another runtime."""
    torch = loaded_torch()
    if isinstance(error, MemoryError) or (torch and isinstance(error, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(saying in text for saying in _SAYINGS)


def make_room() -> None:
    """Free unused memory. To be called when the error that held the tensors is gone."""
    gc.collect()
    torch = loaded_torch()
    if torch is None:
        return
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()
