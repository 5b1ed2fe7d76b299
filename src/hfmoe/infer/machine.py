"""What a report must say of where it was made: processor, threads, versions."""

import os
import platform
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import torch

from hfmoe import __version__


@dataclass(frozen=True)
class Machine:
    """The machine and the software of a measurement."""

    processor: str
    cores: int
    memory_gib: float
    threads: int
    load: float | None
    system: str
    python: str
    torch: str
    hfmoe: str
    date: str

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return asdict(self)

    def line(self) -> str:
        """The facts in one line."""
        load = "" if self.load is None else f", load {self.load:.1f}"
        threads = f"{self.threads} thread{'s' * (self.threads != 1)}"
        cores = f"{self.cores} core{'s' * (self.cores != 1)}"
        return (
            f"{self.processor}, {cores}{load}, {self.memory_gib:.0f} GiB, {threads}, "
            f"torch {self.torch}, hfmoe {self.hfmoe}, Python {self.python}, {self.system}, {self.date}"
        )


def machine(*, threads: int | None = None) -> Machine:
    """This machine now; `load` is the system's mean of running programs over the last minute."""
    return Machine(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        memory_gib=round(_memory() / 2**30, 1),
        threads=torch.get_num_threads() if threads is None else threads,
        load=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        torch=torch.__version__,
        hfmoe=__version__,
        date=date.today().isoformat(),
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def _memory() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 0
