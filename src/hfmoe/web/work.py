"""A request of photos, worked on in a thread by the batch package; what happens comes as events."""

import queue
import threading
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from hfmoe.batch.dispatch import Done, Failed, make_naming, run_here
from hfmoe.batch.planning import Job
from hfmoe.image.files import printable
from hfmoe.infer.api import load
from hfmoe.infer.restorer import Restorer
from hfmoe.infer.tiled import OnTile
from hfmoe.web.choices import Request
from hfmoe.web.limits import Limits

MODELS_HELD = 4


@dataclass(frozen=True)
class TileDone:
    """Progress of a request: the photo that is worked on, its number of all, and the share that is done."""

    name: str
    number: int
    count: int
    share: float


class Finished(NamedTuple):
    """A photo and its result, so many times as wide and high."""

    source: Path
    result: Path
    scale: int


class Refused(NamedTuple):
    """A photo without a result, and why, without names of folders."""

    name: str
    reason: str


Event = TileDone | Finished | Refused


class Cancelled(Exception):  # noqa: N818 (not an error)
    """The request was stopped."""


@lru_cache(maxsize=MODELS_HELD)
def open_model(name: str, device: str) -> Restorer:
    """Return a model, the same at each call."""
    return load(name, device=device)


def restore_photos(
    photos: Sequence[Path],
    folder: Path,
    request: Request,
    *,
    limits: Limits,
    stop: threading.Event,
    device: str = "auto",
) -> Generator[Event, None, None]:
    """Restore photos into a folder and yield what happens; each ends as Finished or Refused.

    Results have the bytes that `hfmoe restore` writes with the options of `request.command`. Raises Cancelled
    once stop is set; the thread has ended then. Closing the iterator stops the request, too.
    """
    restorer = open_model(request.model, device)
    events: queue.Queue[Event | BaseException | None] = queue.Queue()
    jobs = []
    naming = make_naming(restorer, request.settings(restorer), format=request.suffix)
    for number, photo in enumerate(photos):
        try:
            limits.check(photo, restorer)
        except (ValueError, OSError) as error:
            events.put(Refused(photo.name, plain(error, photo)))
        else:
            jobs.append(Job(photo, folder / str(number) / naming.name(photo)))
    worker = threading.Thread(
        target=_work, args=(jobs, request, restorer, stop, events), name="restore", daemon=True
    )
    worker.start()
    try:
        while (event := events.get()) is not None:
            if isinstance(event, BaseException):
                raise event
            yield event
    finally:
        stop.set()
        worker.join()


def _work(
    jobs: list[Job],
    request: Request,
    restorer: Restorer,
    stop: threading.Event,
    events: "queue.Queue[Event | BaseException | None]",
) -> None:
    numbers = {job: number for number, job in enumerate(jobs, start=1)}

    def step(job: Job, share: float) -> None:
        if stop.is_set():
            raise Cancelled
        events.put(TileDone(Path(job.source).name, numbers[job], len(jobs), share))

    def begin(job: Job) -> OnTile:
        step(job, 0.0)
        return lambda done, total: step(job, done / total)

    def end(outcome: Done | Failed) -> None:
        source, target = Path(outcome.job.source), Path(outcome.job.target)
        if isinstance(outcome, Done):
            events.put(Finished(source, target, restorer.scale))
        else:
            events.put(Refused(source.name, plain(outcome.reason, source, target)))

    try:
        with suppress(Cancelled):
            run_here(jobs, restorer, request.settings(restorer), workers=1, on_begin=begin, on_end=end)
        events.put(Cancelled() if stop.is_set() else None)
    except BaseException as error:
        events.put(error)


def plain(error: Exception | str, *paths: Path) -> str:
    """Return the text of an error with names of files in place of paths, in one line."""
    text = " ".join(str(error).split())
    for path in paths:
        for whole in (str(path), printable(path)):
            text = text.replace(whole, path.name)
    return text
