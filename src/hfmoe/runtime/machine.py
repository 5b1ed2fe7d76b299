"""The machine and the software of a run or a measurement: processor, threads, memory, versions, commit."""

import hashlib
import os
import platform
import subprocess
import sys
from dataclasses import asdict, dataclass
from datetime import date
from functools import cache
from importlib.metadata import version
from pathlib import Path

from hfmoe import __version__


@dataclass(frozen=True)
class Machine:
    """The machine and the software of a measurement; `load`: running programs, mean of the last minute."""

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
    """Describe this machine as it is now; `threads`: those of the measurement, by default torch's."""
    return Machine(
        processor=processor(),
        cores=os.cpu_count() or 1,
        memory_gib=round((physical_memory() or 0) / 2**30, 1),
        threads=default_threads() if threads is None else threads,
        load=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        system=system(),
        python=platform.python_version(),
        torch=torch_version(),
        hfmoe=__version__,
        date=date.today().isoformat(),
    )


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Name the processor as Linux does, else as Python can."""
    try:
        for line in cpuinfo.read_text(errors="replace").splitlines():
            name, colon, value = line.partition(":")
            if colon and name.strip() in ("model name", "Model") and value.strip():
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_threads() -> int:
    """Return as many threads as torch uses: what it was told, OMP_NUM_THREADS, else one a processor."""
    torch = sys.modules.get("torch")
    if torch is not None:
        return torch.get_num_threads()
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdecimal() and int(asked) else processors()


def torch_version() -> str:
    """Return torch's version without importing it."""
    torch = sys.modules.get("torch")
    return version("torch") if torch is None else torch.__version__


def physical_memory() -> int | None:
    """Return the machine's memory in bytes, or None where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None


def system() -> str:
    """Name the operating system and the kind of processor."""
    return f"{platform.system()} {platform.machine()}"


@cache
def code_version() -> str:
    """sha256 (hex) over the names and contents of the package's .py files."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def commit(source: Path) -> str | None:
    """Return the commit of the checkout that tracks a source file, "+" behind it where files were changed."""
    if _git(source.parent, "ls-files", "--error-unmatch", source.name) is None:
        return None
    head = _git(source.parent, "rev-parse", "HEAD")
    changed = _git(source.parent, "--no-optional-locks", "status", "--porcelain", "--untracked-files=no", ".")
    return head and head + ("+" if changed else "")


def _git(folder: Path, *arguments: str) -> str | None:
    """Ask git; None where there is no git, no checkout or no answer in time."""
    try:
        answer = subprocess.run(
            ("git", "-C", str(folder), *arguments), capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
