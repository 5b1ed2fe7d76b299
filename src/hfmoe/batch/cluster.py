"""A Ray cluster: connecting to it, and what its workers say of the pictures that they are given."""

import logging
import os
import re
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from hfmoe.batch.actor import Actor, Packed
from hfmoe.batch.places import Errand, open_place, stays_here
from hfmoe.batch.settings import Settings

MOST_BLOCKS = 4096
"""Parts that a job is cut into at most: a picture each up to here."""
ANSWER = 10.0
"""Seconds in which the head of a cluster must answer."""
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
        """How often this picture has been begun, this time among them."""
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


def answers(
    todo: Sequence[Errand], packed: Packed, settings: Settings, cluster: Cluster
) -> Iterator[dict[str, Any]]:
    """What the workers say of each picture, in the order that they end.

    Ray starts a worker that died anew and gives its pictures out again. Raises RuntimeError when none can be
    had.
    """
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
            "source": os.fsencode(each.source),
            "target": os.fsencode(each.target),
            "data": _content(each.source),
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
    """What is at an address of this process alone; empty for other places."""
    if not stays_here(source):
        return b""
    files, path = open_place(source)
    return files.cat_file(path)


def _line(error: BaseException) -> str:
    """The last line of what Ray says, which is the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
