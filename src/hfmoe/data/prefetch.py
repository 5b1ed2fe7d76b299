"""One item made ahead in a thread, so that training does not wait for data."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def prefetch(make: Callable[[int], Item], steps: Iterable[int]) -> Iterator[Item]:
    """Yield make(step) for each step in order, while a thread already makes the next one."""
    with ThreadPoolExecutor(1, thread_name_prefix="data") as pool:
        ahead: Future[Item] | None = None
        for step in steps:
            made, ahead = ahead, pool.submit(make, step)
            if made is not None:
                yield made.result()
        if ahead is not None:
            yield ahead.result()
