"""The record of a run: metrics.jsonl and TensorBoard, one record a line, nothing doubled after a resume."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from jaxtyping import Float
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from hfmoe.train.records import numbers, read_records
from hfmoe.train.screen import in_words

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
        """Give TensorBoard's writer something, a new one where the last broke, for it does not recover.

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
    """Give TensorBoard a record: its numbers as curves, faults and alarms as words."""
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
    unfinished = metrics.with_suffix(".part")
    unfinished.write_text("".join(kept), encoding="utf-8")
    unfinished.replace(metrics)
