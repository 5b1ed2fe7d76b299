"""Records of a run: the lines of metrics.jsonl, read even where some of them are damaged."""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple


class Records(NamedTuple):
    """What could be read of a record file, in its order, and how many lines could not."""

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
    """Give the record of one line, or None where the line holds none."""
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
    """Give a finite number as float, None for anything else."""
    real = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if real and abs(value) <= sys.float_info.max else None
