"""Devices, threads and determinism of a run."""

import ctypes
import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
import torch.utils.deterministic as determinism
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision.amp import MixedPrecision
from lightning_fabric.strategies.ddp import DDPStrategy
from lightning_fabric.strategies.model_parallel import ModelParallelStrategy
from lightning_fabric.strategies.strategy import Strategy
from torch.distributed import distributed_c10d

from hfmoe.train.hardware import Hardware
from hfmoe.train.sharding import shard

FILLING = "fill_uninitialized_memory"
"""Whether deterministic torch also fills every new tensor, which costs time and changes nothing here."""

PATIENCE = timedelta(hours=2)
"""How long processes wait for each other: the first one decodes photos or validates meanwhile."""


class ExactInputPrecision(MixedPrecision):
    """Mixed precision that leaves the network's input alone: an image in bfloat16 has steps of 1/256."""

    def convert_input(self, data: Any) -> Any:
        """Give the data as it is; autocast converts what multiplies."""
        return data


def choose_strategy(hardware: Hardware) -> str | Strategy:
    """Data parallelism where there is more than one process, with experts that no window chose."""
    processes = hardware.devices * hardware.nodes
    if hardware.strategy == "fsdp":
        return ModelParallelStrategy(
            shard, data_parallel_size=processes, tensor_parallel_size=1, timeout=PATIENCE
        )
    if hardware.strategy == "auto" and processes == 1:
        return "auto"
    return DDPStrategy(find_unused_parameters=True, timeout=PATIENCE)


def choose_precision(hardware: Hardware) -> dict[str, Any]:
    """Fabric's argument for the recipe's precision."""
    if hardware.precision == "32-true":
        return {"precision": hardware.precision}
    device = hardware.accelerator if hardware.accelerator != "auto" else find_accelerator()
    device = {"gpu": "cuda"}.get(device, device)
    return {"plugins": [ExactInputPrecision(hardware.precision, device=device)]}


def find_accelerator() -> str:
    """Name the device that Fabric's "auto" takes."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


@contextmanager
def numerics(hardware: Hardware) -> Iterator[Fabric]:
    """Launch Fabric with the recipe's threads and choice of determinism, and put those of before back."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(hardware.threads or before[0])
    torch.use_deterministic_algorithms(hardware.deterministic, warn_only=True)
    filling = getattr(determinism, FILLING)
    setattr(determinism, FILLING, False)
    try:
        with quiet(), ExitStack() as stack:
            fabric = Fabric(
                accelerator=hardware.accelerator,
                devices=hardware.devices,
                num_nodes=hardware.nodes,
                strategy=choose_strategy(hardware),
                **choose_precision(hardware),
            )
            stack.enter_context(disconnecting())
            fabric.launch()
            torch.set_num_threads(hardware.threads or torch.get_num_threads())
            yield fabric
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
        setattr(determinism, FILLING, filling)


@contextmanager
def disconnecting() -> Iterator[None]:
    """End the connection of a run's processes with the run, where there was none before.

    Left to the interpreter's end, gloo's threads now and then abort a process that has done everything. Other
    libraries end a connection together, which after an error nobody can count on.
    """
    before = dist.is_available() and dist.is_initialized()
    well = False
    try:
        yield
        well = True
    finally:
        if not before and dist.is_available() and dist.is_initialized():
            never_free(distributed_c10d._world.pg_map)
            if well or dist.get_backend() == "gloo":
                dist.destroy_process_group()


def never_free(groups: Iterable[object]) -> None:
    """Hold process groups for ever, small as they are.

    A group that is freed joins its threads while it holds the interpreter's lock. A thread that wants that
    lock to let go of the tensors that it sent last then waits for the group, and the group for the thread.
    """
    for group in groups:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(group))


@contextmanager
def quiet() -> Iterator[None]:
    """Leave out what Fabric says as it connects processes, and torch's hint on the layout of 1x1 kernels."""
    loggers = [
        logging.getLogger(f"lightning_fabric.utilities.{name}") for name in ("distributed", "rank_zero")
    ]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Grad strides do not match bucket view")
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
