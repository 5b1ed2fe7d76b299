"""The executor on a Ray cluster: workers that each hold the model read and write the pictures themselves."""

import logging
import os
import re
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from hfmoe.batch.manifest import Identity
from hfmoe.batch.planning import Job, Place
from hfmoe.batch.settings import Settings
from hfmoe.batch.stores import content_of, deliver, fetch, is_address, is_private, open_place
from hfmoe.batch.work import PictureWork, Result
from hfmoe.image.files import printable
from hfmoe.infer.api import load
from hfmoe.infer.backends.exported import is_exported
from hfmoe.models.header import find_weights

RETRIES = 3
"""Times that a picture is begun anew after its worker died; then it is given up, by name."""
MOST_BLOCKS = 4096
"""Parts that a job is cut into at most: a picture each up to here."""
ANSWER = 10.0
"""Seconds in which the head of a cluster must answer."""
SOUND = -1.0
"""Value of a row without a share of missing rows: columns of Ray's tables are of one kind."""
OBJECT_STORE = 256 * 2**20
"""Bytes that a Ray of our own keeps for what goes between its processes, which are paths."""


@dataclass(frozen=True)
class Cluster:
    """Where a job runs: the address of a Ray cluster ("auto": this machine's), None for one of its own.

    workers: processes that each hold the model; device: of each, and a GPU of the cluster for "cuda".
    """

    address: str | None = None
    workers: int = 2
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"workers {self.workers} must be at least 1")
        if self.device.startswith("cuda:"):
            raise ValueError(f"device {self.device} must be cuda: Ray chooses which one a worker gets")


class Ledger:
    """Counts how often each picture was begun, in a process of its own that outlives the workers."""

    def __init__(self) -> None:
        self._begun: Counter[int] = Counter()

    def begin(self, place: int) -> int:
        """Number of times that this picture has been begun, this one included."""
        self._begun[place] += 1
        return self._begun[place]


def check_libraries() -> None:
    """Import Ray, told to send nothing home and to be quiet. Raises ImportError naming what is missing."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    import ray.data  # noqa: F401 (its ImportError names what is missing)


def unhindered() -> None:
    """Have a Ray that is started next give its workers this process's niceness, where nothing else is set.

    Of itself it makes them 15 nicer, and beside other programs they get next to no time.
    """
    os.environ.setdefault("RAY_worker_niceness", "0")


@contextmanager
def connected(cluster: Cluster) -> Iterator[None]:
    """A connection that ends with the job, or the one that there is."""
    check_libraries()
    import ray
    from ray.exceptions import RayError

    if ray.is_initialized():
        yield
        return
    if cluster.address:
        check_address(cluster.address)
    else:
        unhindered()
    own: dict[str, Any] = {"num_cpus": cluster.workers, "include_dashboard": False}
    own["object_store_memory"] = OBJECT_STORE
    try:
        ray.init(
            address=cluster.address or "local",
            log_to_driver=False,
            logging_level=logging.ERROR,
            **({} if cluster.address else own),
        )
    except (ConnectionError, RayError) as error:
        raise RuntimeError(f"no Ray at {cluster.address or 'this machine'}: {_line(error)}") from error
    try:
        yield
    finally:
        ray.shutdown()


def check_address(address: str) -> None:
    """RuntimeError at once for a host that does not answer, which Ray would ask for minutes."""
    match = re.fullmatch(r"(?:ray://)?\[?([^/\]]+)\]?:(\d{1,5})", address)
    if match is None:
        return
    try:
        socket.create_connection((match[1], int(match[2])), timeout=ANSWER).close()
    except (OSError, OverflowError) as error:
        raise RuntimeError(f"no Ray at {address}: {error}") from error


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
        self._work = PictureWork(restorer, settings, packed.digest)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Restore one picture; whatever is wrong with it is in the row that comes back."""
        answer = {"place": int(row["place"]), "error": "", "width": 0, "height": 0, "data": b""}
        answer |= {"read_size": 0, "read_ns": 0, "seconds": 0.0, "missing": SOUND}
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
        done = self._work.write(job, self._work.restore(job, self._work.read(job)))
        facts: dict[str, Any] = {"width": done.width, "height": done.height}
        facts["missing"] = SOUND if done.missing is None else done.missing
        facts |= {"read_size": done.read.size, "read_ns": done.read.modified_ns}
        if elsewhere and is_private(target):
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
    """Number of workers that Ray can place here: each takes a processor, and a GPU where there is one."""
    import ray

    if not ray.is_initialized():
        return 1
    here = ray.get_runtime_context().get_node_id()
    kinds = ("CPU", "GPU") if device.startswith("cuda") else ("CPU",)
    nodes = [node["Resources"] for node in ray.nodes() if node["NodeID"] == here]
    found = [min(resources.get(kind, 1) for kind in kinds) for resources in nodes]
    return max([1, *map(int, found)])


def run_on_cluster(
    todo: Sequence[Job], packed: Packed, settings: Settings, cluster: Cluster
) -> Iterator[tuple[Job, Result | Exception]]:
    """Outcome of each job, in the order that they end; those that Ray lost last.

    Ray starts a worker that died anew and gives its pictures out again. Raises ImportError without Ray,
    RuntimeError when no worker can be had.
    """
    missing = dict(enumerate(todo))
    with connected(cluster):
        for answer in _answers(todo, packed, settings, cluster):
            job = missing.pop(int(answer["place"]), None)
            if job is not None:
                yield job, _settle(job, answer)
        for job in missing.values():
            yield job, RuntimeError(f"{job.source}: Ray lost it")


def _settle(job: Job, answer: dict[str, Any]) -> Result | Exception:
    """Outcome of a job as its worker reports it; what it could not store itself is stored here."""
    if answer["error"]:
        return RuntimeError(str(answer["error"]))
    if answer["data"]:
        files, path = open_place(str(job.target))
        try:
            files.makedirs(path.rpartition("/")[0], exist_ok=True)
            files.pipe_file(path, answer["data"])
        except OSError as error:
            return OSError(f"{job.target}: {error}")
    read = Identity(int(answer["read_size"]), int(answer["read_ns"]))
    size, missing = (int(answer["width"]), int(answer["height"])), float(answer["missing"])
    return Result(*size, read, float(answer["seconds"]), None if missing == SOUND else missing)


def _answers(
    todo: Sequence[Job], packed: Packed, settings: Settings, cluster: Cluster
) -> Iterator[dict[str, Any]]:
    """The rows of the workers."""
    import ray
    from ray.data import ActorPoolStrategy, DataContext
    from ray.exceptions import RayError

    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    worker: Any = Actor
    ledger = ray.remote(Ledger).options(num_cpus=0).remote()
    rows = [
        {
            "place": place,
            "source": os.fsencode(_absolute(each.source)),
            "target": os.fsencode(_absolute(each.target)),
            "data": _content(str(each.source)),
        }
        for place, each in enumerate(todo)
    ]
    workers = min(cluster.workers, len(rows))
    data = ray.data.from_items(rows, override_num_blocks=min(len(rows), MOST_BLOCKS)).map(
        worker,
        fn_constructor_args=(packed, settings, cluster.device, _begin(ledger)),
        fn_constructor_kwargs={"workers": workers},
        compute=ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=2),
        num_cpus=1,
        num_gpus=1 if cluster.device.startswith("cuda") else 0,
    )
    try:
        yield from data.iter_rows()
    except RayError as error:
        raise RuntimeError(f"the workers of Ray failed: {_line(error)}") from error


def _begin(ledger: Any) -> Callable[[int], int]:
    def begin(place: int) -> int:
        import ray

        return ray.get(ledger.begin.remote(place))

    return begin


def _content(source: str) -> bytes:
    """Content at an address of this process alone; empty for other places."""
    return content_of(source) if is_private(source) else b""


def _absolute(place: Place) -> str:
    """A place as it is called from any folder."""
    return place if isinstance(place, str) else str(place.absolute())


def _line(error: BaseException) -> str:
    """The last line of what Ray says, which is the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
