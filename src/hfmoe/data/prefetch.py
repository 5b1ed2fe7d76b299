"""Work done ahead of its reader in threads: the next training batch, and many files in order."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


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


def in_threads(
    work: Callable[[Item], Result], items: Iterable[Item], *, threads: int | None = None
) -> Generator[Result, None, None]:
    """Yield work(item) of each item, in their order; no more than two a thread are begun ahead."""
    threads = threads or os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        ahead: deque[Future[Result]] = deque()
        try:
            for item in items:
                ahead.append(pool.submit(work, item))
                if len(ahead) > 2 * threads:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
