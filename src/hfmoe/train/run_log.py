"""The log of a run: metrics.jsonl and TensorBoard, one record a line, nothing doubled after a resume."""

import json
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

import hfmoe
from hfmoe.data import PhotoSet
from hfmoe.runtime.files import write_atomically
from hfmoe.runtime.machine import code_version, commit, physical_memory, processor, processors, system
from hfmoe.train.recipe import Recipe
from hfmoe.train.screen import in_words


class Records(NamedTuple):
    """Records read from a file, in its order, and the number of lines that could not be read."""

    records: tuple[dict[str, Any], ...]
    damaged: int


def read_records(path: Path) -> Records:
    """Read every line that is a mapping with a whole `step`; a file that is missing has none."""
    if not path.exists():
        return Records((), 0)
    lines = [line for line in path.read_text("utf-8", errors="replace").split("\n") if line.strip()]
    records = [record for record in map(parse, lines) if record is not None]
    return Records(tuple(records), len(lines) - len(records))


def parse(line: str) -> dict[str, Any] | None:
    """Return the record of one line, or None where the line holds none."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    step = record.get("step") if isinstance(record, dict) else None
    return record if isinstance(step, int) and not isinstance(step, bool) and 0 <= step < 2**53 else None


def numbers(value: Any, name: str) -> Iterator[tuple[str, float]]:
    """List the finite numbers inside nested mappings and sequences, with their paths."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from numbers(item, f"{name}/{key}")
    elif isinstance(value, list | tuple):
        for position, item in enumerate(value):
            yield from numbers(item, f"{name}/{position}")
    elif (finite := number(value)) is not None:
        yield name, finite


def number(value: Any) -> float | None:
    """Return a finite number as float, None for anything else."""
    real = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if real and abs(value) <= sys.float_info.max else None


def session_record(
    recipe: Recipe, fabric: Fabric, photos: PhotoSet, *, step: int, resumed: bool
) -> dict[str, Any]:
    """Return the record that opens a session: {"kind": "session", "step": steps done before it, ...}."""
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


UNDRAWN = frozenset({"kind", "step", "time"})
"""Fields that place a record and are no curve themselves."""

TOLD = frozenset({"fault", "alarm"})
"""Kinds of records that are words in TensorBoard, not curves."""

WAITING = 1000
"""Records that are remembered while the disk takes none."""


class Journal:
    """Writes records such as {"kind": "train", "step": 100, "loss": {"l1": .03}} to both logs.

    What a full disk does not take is told once by `complain` and tried again.
    """

    def __init__(
        self, metrics: Path, board: Path, *, step: int, complain: Callable[[str], None] = lambda _: None
    ) -> None:
        forget_after(metrics, step)
        self._metrics, self._folder, self._complain = metrics, board, complain
        self._lines: list[str] = []
        self._lost: set[Path] = set()
        self._board: SummaryWriter | None = None
        self._purge: int | None = step + 1
        self._rest, self._pause = 0, 0

    def __enter__(self) -> "Journal":
        self._hook = threading.excepthook
        threading.excepthook = self._heard
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lines:
            self._append()
        self._close_board()
        threading.excepthook = self._hook

    def write(self, record: Mapping[str, Any]) -> None:
        """Append a record with its time in seconds since 1970; its numbers become TensorBoard curves."""
        self._lines.append(json.dumps({**record, "time": round(time.time(), 1)}) + "\n")
        self._append()
        self._draw(lambda board: draw(board, record))

    def picture(self, name: str, image: Float[Tensor, "3 h w"], *, step: int) -> None:
        """Show a picture in TensorBoard."""
        self._draw(lambda board: board.add_image(name, image.clamp(0, 1), step))

    def _append(self) -> None:
        try:
            append(self._metrics, "".join(self._lines).encode())
        except OSError as error:
            self._lines = self._lines[-WAITING:]
            self._lose(self._metrics, error)
        else:
            self._lines.clear()
            self._lost.discard(self._metrics)

    def _draw(self, show: Callable[[SummaryWriter], None]) -> None:
        """Return TensorBoard's writer something, a new one where the last broke, for it does not recover.

        Each leaves a file, so that they are tried after ever more records.
        """
        if self._rest:
            self._rest -= 1
            return
        try:
            if self._board is None:
                self._board = SummaryWriter(str(self._folder), purge_step=self._purge)
                self._purge = None
            show(self._board)
            self._pause = 0
            self._lost.discard(self._folder)
        except OSError as error:
            self._rest, self._pause = self._pause, min(2 * self._pause + 1, WAITING)
            self._lose(self._folder, error)
            self._close_board()

    def _close_board(self) -> None:
        board, self._board = self._board, None
        try:
            if board:
                board.close()
        except OSError as error:
            self._lose(self._folder, error)

    def _lose(self, path: Path, error: OSError) -> None:
        if path not in self._lost:
            self._complain(f"{path} takes no records: {error.strerror or error}; tried again later")
        self._lost.add(path)

    def _heard(self, failed: threading.ExceptHookArgs) -> None:
        """Leave out the trace of TensorBoard's thread where the disk fails, which is told already."""
        if not (isinstance(failed.exc_value, OSError) and "AsyncWriter" in type(failed.thread).__name__):
            self._hook(failed)


def draw(board: SummaryWriter, record: Mapping[str, Any]) -> None:
    """Return TensorBoard a record: its numbers as curves, faults and alarms as words."""
    for name, value in curves(record):
        board.add_scalar(name, value, record["step"])
    if record["kind"] in TOLD:
        board.add_text(record["kind"], in_words(record), record["step"])


def append(path: Path, content: bytes) -> None:
    """Write to the end of a file, all or nothing."""
    with path.open("ab", buffering=0) as file:
        size = file.tell()
        try:
            while content:
                content = content[file.write(content) :]
        except OSError:
            file.truncate(size)
            raise


def curves(record: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """List the curves of a record as kind/path/to/number, expert loads as load/layer_1/expert_1.

    Layers are counted in the order they run, experts from cheap to heavy. Sessions, faults and alarms have
    no curves.
    """
    if record["kind"] == "session" or record["kind"] in TOLD:
        return
    values = {name: value for name, value in record.items() if name not in UNDRAWN}
    for position, shares in enumerate(values.pop("load", ()), 1):
        for expert, share in enumerate(shares, 1):
            yield f"load/layer_{position}/expert_{expert}", share
    for position, value in enumerate(values.pop("evenness", ()), 1):
        yield f"load/layer_{position}/evenness", value
    yield from numbers(values, record["kind"])


def forget_after(metrics: Path, step: int) -> None:
    """Drop the records beyond a step and damaged lines such as the half-written last one of a killed run.

    A session is kept where it began at or before the step: what it did until there still counts.
    """
    if not metrics.exists():
        return
    kept = [json.dumps(record) + "\n" for record in read_records(metrics).records if record["step"] <= step]
    write_atomically(metrics, "".join(kept))
