"""Record of a job, line by line, so that it can go on where it was interrupted."""

import json
import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from hfmoe import __version__
from hfmoe.runtime.files import lock

MANIFEST = ".hfmoe-job.jsonl"
"""Name of the file in the folder of results."""


class Identity(NamedTuple):
    """Identity of a file's content: bytes and time of the last change."""

    size: int
    modified_ns: int


class Entry(NamedTuple):
    """Record of a result: its source, both files' identity, and a digest of the settings."""

    source: str
    read: Identity
    written_size: int
    settings: str


def identify(path: Path) -> Identity:
    """The identity of a file. Raises OSError when it is not there."""
    facts = path.stat()
    return Identity(facts.st_size, facts.st_mtime_ns)


class Manifest:
    """A file of JSON lines: who opened it with which settings, then one line for each result or failure.

    Paths are relative to its folder. A line is written at once and flushed to the disk; one that was cut off
    is dropped when the file is opened next. Of several lines about a result the last counts. Only one process
    at a time can hold it open. Raises ValueError when it is no manifest or is in use, OSError when it cannot
    be written.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        self._digest = sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:16]
        self._folder = path.parent.absolute()
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            _hold(self._file, path)
            self._entries = self._read()
            about = {"hfmoe": __version__, "settings": self._digest, "of": dict(settings)}
            self._write(about)
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> "Manifest":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def has(self, source: Path, target: Path) -> bool:
        """True where target was made of this very source with these settings, and is unchanged."""
        entry = self._entries.get(self._place(target))
        if entry is None or entry.settings != self._digest or entry.source != self._place(source):
            return False
        try:
            return identify(source) == entry.read and target.stat().st_size == entry.written_size
        except OSError:
            return False

    def add(self, source: Path, target: Path, *, read: Identity, seconds: float) -> None:
        """Write down a result; read: the identity of its source before it was read."""
        entry = Entry(self._place(source), read, target.stat().st_size, self._digest)
        line = {"target": self._place(target), "source": entry.source, "read": list(read)}
        more = {"written": entry.written_size, "settings": entry.settings, "seconds": round(seconds, 3)}
        with self._lock:
            self._write(line | more)
            self._entries[self._place(target)] = entry

    def add_failure(self, source: Path, target: Path, reason: str) -> None:
        """Write down that no result was made; the next run tries again."""
        with self._lock:
            self._write({"target": self._place(target), "source": self._place(source), "failed": reason})
            self._entries.pop(self._place(target), None)

    def _place(self, path: Path) -> str:
        with suppress(ValueError):
            return Path(os.path.relpath(path.absolute(), self._folder)).as_posix()
        return path.absolute().as_posix()

    def _read(self) -> dict[str, Entry]:
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        entries: dict[str, Entry] = {}
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                values = json.loads(line)
                entry = _entry(values)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(
                    f"{self.path}: line {number} is not one of a manifest; move it away"
                ) from error
            if entry is not None:
                entries[values["target"]] = entry
            else:
                entries.pop(values.get("target"), None)
        if len(whole) < len(content):
            os.ftruncate(self._file, len(whole))
        return entries

    def _write(self, values: dict[str, Any]) -> None:
        line = json.dumps(values, default=str).encode() + b"\n"
        end = os.fstat(self._file).st_size
        try:
            written = os.write(self._file, line)
            if written < len(line):
                raise OSError(28, "No space left on device", str(self.path))
            os.fsync(self._file)
        except OSError as error:
            os.ftruncate(self._file, end)
            raise OSError(error.errno, error.strerror, str(self.path)) from error


def results_of(folder: Path) -> set[str]:
    """Absolute names of the results that a folder's manifest lists; none where it cannot be read."""
    try:
        lines = [json.loads(line) for line in (folder / MANIFEST).read_bytes().splitlines()]
        targets = [line["target"] for line in lines if "target" in line and "failed" not in line]
    except (OSError, ValueError, TypeError):
        return set()
    return {os.path.normpath(folder.absolute() / target) for target in targets}


def _entry(values: dict[str, Any]) -> Entry | None:
    """The entry of a line; None of one that tells who opened the file, or of a failure."""
    if "target" not in values and "hfmoe" not in values:
        raise KeyError("target")
    if "target" not in values or "failed" in values:
        return None
    size, modified = values["read"]
    return Entry(values["source"], Identity(size, modified), values["written"], values["settings"])


def _hold(file: int, path: Path) -> None:
    """Keep other processes from the manifest until it is closed."""
    try:
        lock(file)
    except BlockingIOError as error:
        raise ValueError(f"{path}: another job is writing to this folder") from error
