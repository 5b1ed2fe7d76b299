"""Progress of a run: steps done, and its place in the schedule."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from hfmoe.train.recipe import Recipe


@dataclass(frozen=True)
class Standing:
    """Steps done, the best and the latest validation PSNR so far, and the faults that still count.

    `skipped` are the steps left out in the present window, counted from 1; `rollbacks` counts returns to a
    state kept before. `spent` is the processor time in seconds that went into steps; what a kill undid does
    not count.
    """

    step: int = 0
    best: float | None = None
    latest: float | None = None
    skipped: tuple[int, ...] = ()
    rollbacks: int = 0
    spent: float = 0.0


Clock = Callable[[], float]
"""Gives the processor time of this process in seconds: all its threads, no other programs."""

processor_clock: Clock = time.process_time


def moment_of(standing: Standing, recipe: Recipe) -> int:
    """Give the step of the schedule that comes next, in [0, recipe.steps).

    It is the number of steps done, or under a budget of processor time the share of it that is spent: what a
    run does next depends on its standing alone, so that one that goes on follows the same schedule.
    """
    if recipe.processor_seconds is None:
        return standing.step
    return min(recipe.steps - 1, int(recipe.steps * standing.spent / recipe.processor_seconds))


def finished(standing: Standing, recipe: Recipe) -> bool:
    """Tell whether a run has done all its steps, or spent all its processor time."""
    if recipe.processor_seconds is None:
        return standing.step >= recipe.steps
    return standing.spent >= recipe.processor_seconds


def earlier(standing: Standing, recipe: Recipe) -> int | None:
    """Give the moment of the schedule before the next one, as far as a standing tells; None at the start."""
    return max(0, moment_of(standing, recipe) - 1) if standing.step else None


class Extent(NamedTuple):
    """How long a run is: an amount of steps or of seconds of processor time."""

    amount: float
    unit: str


def extent(recipe: Recipe) -> Extent:
    """Give the length of a run in the unit of its budget."""
    if recipe.processor_seconds is None:
        return Extent(float(recipe.steps), "steps")
    return Extent(recipe.processor_seconds, "s of processor time")


def reached(standing: Standing, recipe: Recipe) -> float:
    """Give how much of the extent is done."""
    return float(standing.step) if recipe.processor_seconds is None else standing.spent
