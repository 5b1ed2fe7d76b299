"""Where a session of a run takes place: hardware, versions and code, no names of people or hosts."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

import hfmoe
from hfmoe.data import PhotoSet
from hfmoe.infer.threads import processors
from hfmoe.models.header import code_version
from hfmoe.train.recipe import Recipe


def session_record(
    recipe: Recipe, fabric: Fabric, photos: PhotoSet, *, step: int, resumed: bool
) -> dict[str, Any]:
    """Give the record that opens a session: {"kind": "session", "step": steps done before it, ...}."""
    return {
        "kind": "session",
        "step": step,
        "resumed": resumed,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "photos": len(photos.photos),
        **({"unreadable": list(photos.unreadable)} if photos.unreadable else {}),
        "device": fabric.device.type,
        "processes": fabric.world_size,
        "precision": recipe.hardware.precision,
        **hardware(),
        **software(),
    }


def hardware() -> dict[str, Any]:
    """Describe the machine: processor, cores this process may use, torch's threads, memory in GiB, GPUs."""
    memory = physical_memory()
    return {
        "cpu": processor(),
        "cores": processors(),
        "threads": torch.get_num_threads(),
        "memory_gib": None if memory is None else round(memory / 2**30, 1),
        "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "system": f"{platform.system()} {platform.machine()}",
    }


def software() -> dict[str, Any]:
    """Name the versions and the code that train; `commit` is null unless the package lies in a checkout."""
    return {
        "hfmoe": hfmoe.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "cuda": torch.version.cuda,
        "code": code_version(),
        "commit": commit(Path(hfmoe.__file__)),
    }


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


def physical_memory() -> int | None:
    """Give the machine's memory in bytes, or None where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None


def commit(source: Path) -> str | None:
    """Give the commit of the checkout that tracks a source file, "+" behind it where files were changed."""
    if _git(source.parent, "ls-files", "--error-unmatch", source.name) is None:
        return None
    head = _git(source.parent, "rev-parse", "HEAD")
    changed = _git(source.parent, "status", "--porcelain", "--untracked-files=no", ".")
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
