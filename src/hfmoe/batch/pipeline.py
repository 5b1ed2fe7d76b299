"""Three steps on many items that overlap: threads read ahead and write behind while the caller's works."""

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

FAILURES = (ValueError, OSError, RuntimeError, MemoryError)
"""Errors of one item that do not end the others."""


class Steps(NamedTuple):
    """Steps of an item: `read` and `write` in threads, `work` in the caller's, one at a time.

    cost: bytes that an item takes from when it is read until it is written; 0 where that is not known.
    """

    cost: Callable[[Any], int]
    read: Callable[[Any], Any]
    work: Callable[[Any, Any], Any]
    write: Callable[[Any, Any], Any]


class _Pending(NamedTuple):
    item: Any
    cost: int
    future: Future[Any]


class Pipeline:
    """Items on their way; their results, or the error that one of FAILURES was, go to `on_end` in order.

    workers: threads that read, and as many that write; each kind is at most so many items away from the
    caller. room: bytes above which nothing more is read ahead.
    """

    def __init__(
        self, steps: Steps, *, workers: int, room: int, on_end: Callable[[Any, Any | Exception], None]
    ) -> None:
        if workers < 1:
            raise ValueError(f"workers {workers} must be at least 1")
        self._steps, self._workers, self._room, self._on_end = steps, workers, room, on_end
        self._reading: deque[_Pending] = deque()
        self._writing: deque[_Pending] = deque()

    def run(self, items: Iterable[Any]) -> None:
        """Take every item through its steps.

        Any other error, and an interrupt, ends it: what is being written is finished, what is read dropped.
        """
        waiting = deque(items)
        readers = ThreadPoolExecutor(self._workers, "read")
        writers = ThreadPoolExecutor(self._workers, "write")
        try:
            while waiting or self._reading:
                self._read_ahead(waiting, readers)
                self._work(self._reading.popleft(), writers)
                self._settle(most=self._workers)
        finally:
            readers.shutdown(wait=False, cancel_futures=True)
            try:
                self._settle(most=0)
            finally:
                writers.shutdown(cancel_futures=True)
                readers.shutdown()

    def _read_ahead(self, waiting: deque[Any], readers: ThreadPoolExecutor) -> None:
        while waiting and len(self._reading) <= self._workers:
            cost = self._steps.cost(waiting[0])
            held = sum(pending.cost for pending in (*self._reading, *self._writing))
            if self._reading and held + cost > self._room:
                return
            item = waiting.popleft()
            self._reading.append(_Pending(item, cost, readers.submit(self._steps.read, item)))

    def _work(self, pending: _Pending, writers: ThreadPoolExecutor) -> None:
        item, cost, future = pending
        try:
            result = self._steps.work(item, future.result())
        except FAILURES as error:
            self._on_end(item, error)
            return
        self._writing.append(_Pending(item, cost, writers.submit(self._steps.write, item, result)))

    def _settle(self, *, most: int) -> None:
        """Tell of what was written, and wait until at most so many are left."""
        while self._writing and (len(self._writing) > most or self._writing[0].future.done()):
            item, _, future = self._writing.popleft()
            try:
                result = future.result()
            except FAILURES as error:
                result = error
            self._on_end(item, result)
