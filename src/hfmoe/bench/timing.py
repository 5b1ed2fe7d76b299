"""Interleaved timing: slow moments of a machine hit all cases alike, ratios are formed inside a round."""

import gc
import math
import statistics
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from random import Random
from typing import NamedTuple, TypeVar

Key = TypeVar("Key", bound=Hashable)
LEAST_RUNS = 3

CLOCKS: Mapping[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
"""Clocks: time itself, or the processor time of this process (all its threads), which other programs
on a busy machine take no part of."""


class Rounds(NamedTuple):
    """Seconds of one case by round; NaN in rounds that it sat out."""

    seconds: tuple[float, ...]

    def runs(self) -> list[float]:
        """Return the seconds of the rounds in which it ran."""
        return [value for value in self.seconds if not math.isnan(value)]


def interleave(
    runs: Mapping[Key, Callable[[], object]],
    *,
    rounds: int,
    budget: float,
    warm_up: int = 2,
    seed: int = 0,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[Key, Rounds]:
    """Time every callable up to `rounds` times, in turn and in a new order each round.

    Each is called `warm_up` times first, the last of which tells how many runs fit into its `budget` of
    seconds: at least 3, spread evenly over the rounds. Garbage is collected between rounds, not in them.
    """
    if rounds < LEAST_RUNS or warm_up < 1:
        raise ValueError(f"rounds {rounds} must be at least {LEAST_RUNS}, warm_up {warm_up} at least 1")
    share: dict[Key, int] = {}
    for key, run in runs.items():
        last = [seconds_of(run) for _ in range(warm_up)][-1]
        share[key] = min(rounds, max(LEAST_RUNS, int(budget / max(last, 1e-9))))
    by_case: dict[Key, list[float]] = {key: [] for key in runs}
    order, random = list(runs), Random(seed)
    collecting = gc.isenabled()
    gc.disable()
    gc.freeze()
    try:
        for number in range(rounds):
            gc.collect()
            random.shuffle(order)
            for key in order:
                due = (number + 1) * share[key] // rounds > number * share[key] // rounds
                by_case[key].append(seconds_of(runs[key], clock=clock) if due else math.nan)
    finally:
        gc.unfreeze()
        if collecting:
            gc.enable()
    return {key: Rounds(tuple(seconds)) for key, seconds in by_case.items()}


def seconds_of(run: Callable[[], object], *, clock: Callable[[], float] = time.perf_counter) -> float:
    """Return seconds of one call."""
    begin = clock()
    run()
    return clock() - begin


class Spread(NamedTuple):
    """Median and quartiles."""

    low: float
    median: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Return median and quartiles of at least one value."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    return Spread(*statistics.quantiles(values, n=4, method="inclusive"))


def ratio(case: Rounds, reference: Rounds) -> Spread | None:
    """One case's seconds over another's, round by round; None where they share no round."""
    pairs = zip(case.seconds, reference.seconds, strict=True)
    ratios = [a / b for a, b in pairs if not (math.isnan(a) or math.isnan(b))]
    return spread(ratios) if ratios else None
