"""Devices, precision and determinism of a run, its processes, and requests to stop."""

import ctypes
import logging
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from types import FrameType, TracebackType
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
import torch.utils.deterministic as determinism
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision.amp import MixedPrecision
from lightning_fabric.strategies.ddp import DDPStrategy
from lightning_fabric.strategies.model_parallel import ModelParallelStrategy
from lightning_fabric.strategies.strategy import Strategy
from torch import Tensor
from torch.distributed import all_gather_object, distributed_c10d, is_torchelastic_launched

from hfmoe.train.execution import shard
from hfmoe.train.fields import Hardware
from hfmoe.train.recipe import Recipe

FILLING = "fill_uninitialized_memory"
"""Deterministic torch also fills every new tensor, which costs time and changes nothing here."""

PATIENCE = timedelta(hours=2)
"""Time that processes wait for each other: the first one decodes photos or validates meanwhile."""


class ExactInputPrecision(MixedPrecision):
    """Mixed precision that leaves the network's input alone: an image in bfloat16 has steps of 1/256."""

    def convert_input(self, data: Any) -> Any:
        """Return the data as it is; autocast converts what multiplies."""
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


Value = TypeVar("Value")

ASK_EVERY = 8
"""Steps between two agreements of processes on accelerators: each waits for all of them."""


class Requests(NamedTuple):
    """Requests after a step: to end because of a signal or because time is up, to save a checkpoint."""

    signal: int | None = None
    out_of_time: bool = False
    save: bool = False


def averaging(fabric: Fabric) -> Callable[[Tensor], Tensor] | None:
    """Mean of a tensor over the processes; None where there is one process and nothing to average."""
    if fabric.world_size == 1:
        return None
    return lambda value: fabric.all_reduce(value.detach().clone(), reduce_op="mean")  # type: ignore[return-value]


def all_finite(fabric: Fabric, values: Iterable[Tensor]) -> bool:
    """Return whether single numbers are finite in every process: one value that is waited for."""
    finite = torch.stack([value.detach().float() for value in values]).isfinite().all()
    if fabric.world_size > 1:
        finite = fabric.all_reduce(finite.int(), reduce_op="min")
    return bool(finite)


def of_all(fabric: Fabric, found: Value) -> list[Value]:
    """Return what every process found, in their order."""
    if fabric.world_size == 1:
        return [found]
    everything: list[Any] = [None] * fabric.world_size
    all_gather_object(everything, found)
    return everything


def agreed(fabric: Fabric, requests: Requests, *, step: int) -> Requests:
    """Return what any process requests, so that all of them stop and save after the same step.

    Many processes ask each other after every step on the CPU, every `ASK_EVERY` steps elsewhere.
    """
    if fabric.world_size == 1:
        return requests
    if fabric.device.type != "cpu" and step % ASK_EVERY:
        return Requests()
    numbers = torch.tensor([requests.signal or 0, requests.out_of_time, requests.save], device=fabric.device)
    signal, out_of_time, save = fabric.all_reduce(numbers, reduce_op="max").tolist()  # type: ignore[union-attr]
    return Requests(signal or None, bool(out_of_time), bool(save))


def from_first(fabric: Fabric, find: Callable[[], Value]) -> Value:
    """Let the first process alone find something and give it to all; its error is one of all."""
    if fabric.world_size == 1:
        return find()
    found = together(fabric, find if fabric.is_global_zero else lambda: None)
    return fabric.broadcast(found)  # type: ignore[return-value]


def together(fabric: Fabric, find: Callable[[], Value]) -> Value:
    """Let every process find something for itself, without asking others meanwhile.

    An error in any of them is raised in the first one and ends the others, so that it is said once.
    """
    if fabric.world_size == 1:
        return find()
    found: Value | None = None
    problem: Exception | None = None
    try:
        found = find()
    except Exception as error:
        problem = error
    for fault in filter(None, of_all(fabric, problem)):
        raise fault if fabric.is_global_zero else SystemExit(1)
    return found  # type: ignore[return-value]


def as_launched(recipe: Recipe) -> Recipe:
    """Return the recipe with the numbers of devices and nodes that torchrun started, if it did.

    Raises ValueError where the recipe names others, or where the batch cannot be shared among so many.
    """
    if not is_torchelastic_launched():
        return recipe
    total, local = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
    started, named = (local, total // local), (recipe.hardware.devices, recipe.hardware.nodes)
    if named not in ((1, 1), started):
        raise ValueError(
            f"hardware.devices {named[0]} and hardware.nodes {named[1]} must be left out, or be "
            f"{started[0]} and {started[1]} as torchrun started them"
        )
    data = recipe.as_data()
    data["hardware"] |= dict(zip(("devices", "nodes"), started, strict=True))
    return Recipe.model_validate(data)


class TrainingInterrupted(Exception):  # noqa: N818 (like KeyboardInterrupt, it is no error)
    """A run was asked to stop, saved its state and ended; `signal` says by what: exit status 128 + signal."""

    def __init__(self, number: int, *, step: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name} after step {step}; the state is saved")
        self.signal = number
        self.step = step


class StopSignal:
    """Remembers the first signal while the block runs; a second one ends the process at once."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopSignal":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._remember)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.signal = number
