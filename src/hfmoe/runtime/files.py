"""Atomic writes and file locks."""

import json
import os
import re
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


class BusyError(RuntimeError):
    """Another process works on the same thing."""


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A new file beside `path` to write to: once the block ends it is synced and renamed to `path`.

    `path` never holds a part of a file, and keeps what it held where the block, or the disk, fails. A process
    that is killed leaves its file behind; `remove_unfinished` finds it. Raises OSError.
    """
    unfinished = path.with_name(f".{path.stem[:32]}-{secrets.token_hex(4)}{path.suffix}")
    try:
        yield unfinished
        sync(unfinished)
        unfinished.replace(path)
        sync_folder(path.parent)
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file that appears whole or not at all; text is UTF-8. Raises OSError."""
    with atomic(path) as unfinished:
        unfinished.write_bytes(content.encode() if isinstance(content, str) else content)


def write_json(path: Path, value: Any) -> None:
    """Write JSON that appears whole or not at all."""
    write_atomically(path, f"{json.dumps(value, indent=1)}\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON mapping; None where there is none that can be read."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def remove_unfinished(targets: Iterable[Path]) -> None:
    """Remove the files that killed processes left of these targets: `.<stem>-<8 hex digits><suffix>`.

    Only for the process that alone writes them, which a lock can guarantee.
    """
    begun = {(target.parent, target.stem[:32], target.suffix) for target in targets}
    for folder in {folder for folder, _, _ in begun}:
        with suppress(OSError):
            for path in folder.iterdir():
                match = re.fullmatch(r"\.(.*)-[0-9a-f]{8}", path.stem, flags=re.DOTALL)
                if match and (folder, match[1], path.suffix) in begun:
                    path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Have the system store a written file, so that a full disk is noticed before the file takes its name."""
    with path.open("r+b") as file:  # Windows stores only what may be written to
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Have the system store which names a folder holds, where folders can be opened."""
    if os.name == "nt":
        return
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def lock(file: int) -> None:
    """Keep an open file from other processes until it is closed, where the system and the disk can.

    However this process ends, the system gives the lock back. Raises BlockingIOError where another process
    has it.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return


@contextmanager
def locked(path: Path, *, patience: float = 0.0) -> Iterator[None]:
    """Hold the lock of a file, waited for `patience` seconds. Raises BusyError that names its folder."""
    deadline = time.monotonic() + patience
    with path.open("w") as file:
        while True:
            try:
                lock(file.fileno())
                break
            except BlockingIOError as error:
                if time.monotonic() >= deadline:
                    raise BusyError(f"{path.parent} is being worked on by another process") from error
                time.sleep(0.2)
        yield
