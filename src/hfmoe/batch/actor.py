"""What a worker of a cluster holds and does: a model, and pictures one by one, from place to place."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from hfmoe.batch.places import deliver, fetch, is_address, stays_here
from hfmoe.batch.planning import Job
from hfmoe.batch.settings import Settings
from hfmoe.batch.work import Work
from hfmoe.image.files import printable
from hfmoe.infer.api import load
from hfmoe.infer.backends.opening import is_exported
from hfmoe.models.header import find_weights

RETRIES = 3
"""Times that a picture is begun anew after its worker died; then it is given up, by name."""


class Packed(NamedTuple):
    """A model's files by name, the one to load first: workers elsewhere need nothing of this machine."""

    files: dict[str, bytes]
    digest: str


def pack(model: str, *, digest: str) -> Packed:
    """Read a model's files. Raises WeightsError and OSError as `load` does."""
    path = Path(model) if is_exported(model) else find_weights(model)
    beside = path.with_suffix(".bin")
    paths = [path, beside] if path.suffix == ".xml" and beside.is_file() else [path]
    return Packed({each.name: each.read_bytes() for each in paths}, digest)


class Actor:
    """Loads its model once; each call takes a row about a picture and gives one that says how it went.

    begin: tells how often a picture has been begun, by any worker. workers: all of the job, of which those on
    this machine share its memory.

    A row has "place" (its number), "source" and "target" as bytes, for names need not be text, and "data":
    the source itself where its address means nothing here. What comes back has "place", "error" (empty where
    it went well), the new "width" and "height", the source's "read_size" and "read_ns", "seconds", and "data"
    to be written by the caller.
    """

    def __init__(
        self, packed: Packed, settings: Settings, device: str, begin: Callable[[int], int], workers: int = 1
    ) -> None:
        self._begin = begin
        with TemporaryDirectory(prefix="hfmoe-") as folder:
            for name, content in packed.files.items():
                (Path(folder) / name).write_bytes(content)
            loaded = load(Path(folder) / next(iter(packed.files)), device=device)
        restorer = replace(loaded, sharers=min(workers, _places_here(device)))
        self._work = Work(restorer, settings, {}, packed.digest)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Restore one picture; whatever is wrong with it is in the row that comes back."""
        answer = {"place": int(row["place"]), "error": "", "width": 0, "height": 0, "data": b""}
        answer |= {"read_size": 0, "read_ns": 0, "seconds": 0.0}
        began = time.monotonic()
        with TemporaryDirectory(prefix="hfmoe-") as folder:
            try:
                if self._begin(answer["place"]) > 1 + RETRIES:
                    raise RuntimeError(f"its worker died {1 + RETRIES} times")
                done = self._restore(row, Path(folder))
                return answer | done | {"seconds": time.monotonic() - began}
            except Exception as error:
                return answer | {"error": _sentence(error, row, folder)}

    def _restore(self, row: dict[str, Any], folder: Path) -> dict[str, Any]:
        source, target = os.fsdecode(row["source"]), os.fsdecode(row["target"])
        elsewhere = is_address(target)
        result = folder / "result" / PurePosixPath(target).name if elsewhere else Path(target)
        if row["data"]:
            file = folder / PurePosixPath(source).name
            file.write_bytes(row["data"])
        else:
            file = fetch(source, folder)
        job = Job(file, result)
        opened = self._work.read(job)
        done = self._work.write(job, self._work.restore(job, opened))
        facts: dict[str, Any] = {"width": done.width, "height": done.height}
        facts |= {"read_size": opened.identity.size, "read_ns": opened.identity.modified_ns}
        if elsewhere and stays_here(target):
            return facts | {"data": result.read_bytes()}
        if elsewhere:
            deliver(result, target)
        return facts


def _sentence(error: BaseException, row: dict[str, Any], folder: str) -> str:
    """One line that names the source or the target by the place that the user knows."""
    source, target = printable(os.fsdecode(row["source"])), printable(os.fsdecode(row["target"]))
    said = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.filename and error.strerror:
        said = f"{error.filename}: {error.strerror}"
    message = printable(" ".join(said.split()))
    for known, place in ((f"{folder}/result/{PurePosixPath(target).name}", target),
                         (f"{folder}/{PurePosixPath(source).name}", source)):  # fmt: skip
        message = message.replace(known, place)
    return message if source in message or target in message else f"{source}: {message}"


def _places_here(device: str) -> int:
    """How many workers Ray can place on this machine: each takes a processor, and a GPU where it has one."""
    import ray

    if not ray.is_initialized():
        return 1
    here = ray.get_runtime_context().get_node_id()
    kinds = ("CPU", "GPU") if device.startswith("cuda") else ("CPU",)
    nodes = [node["Resources"] for node in ray.nodes() if node["NodeID"] == here]
    found = [min(resources.get(kind, 1) for kind in kinds) for resources in nodes]
    return max([1, *map(int, found)])
