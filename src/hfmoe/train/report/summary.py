"""The few numbers that say how a run stands."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hfmoe.train.report.reading import RunData
from hfmoe.train.run_log import number


@dataclass(frozen=True)
class Score:
    """A validation PSNR in dB, its step, and the time of day in seconds since 1970 where it is known."""

    psnr: float
    step: int
    time: float | None


@dataclass(frozen=True)
class Pace:
    """Seconds of training, images per second over all of them, and the share spent waiting for data."""

    seconds: float
    images_per_second: float
    waiting: float


def scores(run: RunData) -> list[Score]:
    """List the validation scores in the order of steps; infinite and missing ones are left out."""
    found = {
        record["step"]: Score(psnr, record["step"], number(record.get("time")))
        for record in run.of_kind("validation")
        if (psnr := number(record.get("psnr", record.get("psnr_y")))) is not None
    }
    return [found[step] for step in sorted(found)]


def best(found: Sequence[Score]) -> Score | None:
    """The first of the highest scores."""
    return max(found, key=lambda score: score.psnr, default=None)


def pace(run: RunData) -> Pace | None:
    """Work out the time from images per second, steps and batch size: None without records of speed.

    Time of validating and saving, and of work that a kill threw away, is not in it.
    """
    batch = number(run.recipe.get("batch"))
    spent = images = waited = 0.0
    before = 0
    for record in sorted(run.training, key=lambda record: record["step"]):
        speed, steps = number(record.get("images_per_second")), record["step"] - before
        if not speed or speed <= 0 or steps <= 0 or not batch:
            continue
        before = record["step"]
        images += steps * batch
        spent += steps * batch / speed
        waited += steps * batch / speed * (number(record.get("waiting")) or 0.0)
    return Pace(spent, images / spent, waited / spent) if spent else None


def session_seconds(run: RunData) -> float | None:
    """Time of the sessions by the clock, from each one's start to its last record; None without any."""
    total, start, seen = 0.0, None, False
    last = 0.0
    for record in run.records:
        time = number(record.get("time"))
        if time is None:
            continue
        if record.get("kind") == "session":
            total += max(0.0, last - start) if start is not None else 0.0
            start, last, seen = time, time, True
        last = max(last, time)
    return total + max(0.0, last - start) if seen and start is not None else None


def seconds_left(run: RunData) -> float | None:
    """Time that the steps to come take at the speed of the latest tenth of the records; None if none come."""
    batch, latest = number(run.recipe.get("batch")), run.training[-max(1, len(run.training) // 10) :]
    speeds = [speed for record in latest if (speed := number(record.get("images_per_second")))]
    ended = bool(run.records) and run.records[-1].get("action") == "stopped"
    if run.steps is None or not batch or not speeds or run.step >= run.steps or ended:
        return None
    return (run.steps - run.step) * batch / (sum(speeds) / len(speeds))


def mean_load(records: Sequence[Mapping[str, Any]]) -> list[list[float]]:
    """Mean share of each expert, layer by layer, over the records that have the last one's shape."""
    loads = [load for record in records if (load := shares(record.get("load"))) is not None]
    if not loads:
        return []
    alike = [load for load in loads if shape(load) == shape(loads[-1])]
    layers = zip(*alike, strict=True)
    return [[math.fsum(values) / len(alike) for values in zip(*layer, strict=True)] for layer in layers]


def shares(load: Any) -> list[list[float]] | None:
    """Give a record's loads if they are one list of finite shares a layer, else None."""
    if not isinstance(load, list) or not load:
        return None
    fits = all(isinstance(layer, list) and layer for layer in load)
    return load if fits and all(number(share) is not None for layer in load for share in layer) else None


def shape(load: Sequence[Sequence[float]]) -> tuple[int, ...]:
    """Number of experts of each layer."""
    return tuple(len(layer) for layer in load)
