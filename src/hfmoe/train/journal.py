"""The record of a run: metrics.jsonl and TensorBoard, one record a line, nothing doubled after a resume."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from jaxtyping import Float
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter


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
        """Append a record; its numbers become TensorBoard curves named kind/path/to/number."""
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()
        values = {name: value for name, value in record.items() if name not in ("kind", "step")}
        for name, value in numbers(values, record["kind"]):
            self._board.add_scalar(name, value, record["step"])

    def picture(self, name: str, image: Float[Tensor, "3 h w"], *, step: int) -> None:
        """Show a picture in TensorBoard."""
        self._board.add_image(name, image.clamp(0, 1), step)


def numbers(value: Any, name: str) -> Iterator[tuple[str, float]]:
    """List the finite numbers inside nested mappings and sequences, with their paths."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from numbers(item, f"{name}/{key}")
    elif isinstance(value, list | tuple):
        for position, item in enumerate(value):
            yield from numbers(item, f"{name}/{position}")
    elif isinstance(value, int | float) and math.isfinite(value):
        yield name, float(value)


def forget_after(metrics: Path, step: int) -> None:
    """Drop the records beyond a step and a half-written last line, as a killed run leaves them."""
    if not metrics.exists():
        return
    kept = []
    for line in metrics.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except (json.JSONDecodeError, KeyError):
            continue
    unfinished = metrics.with_suffix(".part")
    unfinished.write_text("".join(kept), encoding="utf-8")
    unfinished.replace(metrics)
