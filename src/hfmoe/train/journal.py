"""The record of a run: metrics.jsonl and TensorBoard, one record a line, nothing doubled after a resume."""

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from jaxtyping import Float
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from hfmoe.train.records import numbers, read_records

UNDRAWN = frozenset({"kind", "step", "time"})
"""Fields that place a record and are no curve themselves."""


class Journal:
    """Writes records such as {"kind": "train", "step": 100, "loss": {"l1": .03}} to both logs."""

    def __init__(self, metrics: Path, board: Path, *, step: int) -> None:
        forget_after(metrics, step)
        self._file = metrics.open("a", encoding="utf-8")
        self._board = SummaryWriter(str(board), purge_step=step + 1)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._board.close()

    def write(self, record: Mapping[str, Any]) -> None:
        """Append a record with its time in seconds since 1970; its numbers become TensorBoard curves."""
        self._file.write(json.dumps({**record, "time": round(time.time(), 1)}) + "\n")
        self._file.flush()
        for name, value in curves(record):
            self._board.add_scalar(name, value, record["step"])

    def picture(self, name: str, image: Float[Tensor, "3 h w"], *, step: int) -> None:
        """Show a picture in TensorBoard."""
        self._board.add_image(name, image.clamp(0, 1), step)


def curves(record: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """List the curves of a record as kind/path/to/number, expert loads as load/layer_1/expert_1.

    Layers are counted in the order they run, experts from cheap to heavy. Sessions have no curves.
    """
    if record["kind"] == "session":
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
