"""Where a session of a run takes place: hardware, versions and code, no names of people or hosts."""

import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

import hfmoe
from hfmoe.data import PhotoSet
from hfmoe.runtime.machine import code_version, commit, physical_memory, processor, processors, system
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
        "system": system(),
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
