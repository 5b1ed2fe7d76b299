"""Progress of a run: steps done, and the place in its schedule that follows from them."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

Clock = Callable[[], float]
"""Returns the processor time of this process in seconds: all its threads, no other programs."""

processor_clock: Clock = time.process_time

LENGTH = ("steps", "limit")
"""Fields that the recipe gives; a checkpoint keeps the others."""


@dataclass(frozen=True)
class Progress:
    """Progress of a run.

    steps: length of the schedule. limit: seconds of processor time after which the run ends; None where it
    ends after its steps. step: steps done. best, latest: validation PSNR so far. skipped: steps left out in
    the present window, counted from 1; rollbacks: returns to an earlier state. spent: processor seconds that
    went into steps; what a kill undid does not count.
    """

    steps: int
    limit: float | None = None
    step: int = 0
    best: float | None = None
    latest: float | None = None
    skipped: tuple[int, ...] = ()
    rollbacks: int = 0
    spent: float = 0.0

    @classmethod
    def of(cls, state: Mapping[str, Any], *, steps: int, limit: float | None) -> "Progress":
        """Return the progress that a checkpoint keeps; fields that it lacks take their defaults."""
        names = [name for name in cls.__dataclass_fields__ if name not in LENGTH and name in state]
        return cls(steps, limit, **{name: state[name] for name in names})

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {name: value for name, value in asdict(self).items() if name not in LENGTH}

    @property
    def position(self) -> int:
        """The step of the schedule that comes next, in [0, steps).

        It is the number of steps done, or under a limit of processor time the share of it that is spent: what
        a run does next depends on its progress alone, so that a resumed one follows the same schedule.
        """
        if self.limit is None:
            return self.step
        return min(self.steps - 1, int(self.steps * self.spent / self.limit))

    @property
    def share(self) -> float:
        """The position as a share of the run."""
        return self.position / self.steps

    @property
    def last_share(self) -> float | None:
        """The share at which the step before was done, as far as is known; None at the start."""
        return max(0, self.position - 1) / self.steps if self.step else None

    @property
    def finished(self) -> bool:
        """True when all steps are done, or all processor time is spent."""
        return self.step >= self.steps if self.limit is None else self.spent >= self.limit

    @property
    def total(self) -> float:
        """Length of the run, in its unit."""
        return float(self.steps) if self.limit is None else self.limit

    @property
    def done(self) -> float:
        """The part of the length that is done, in its unit."""
        return float(self.step) if self.limit is None else self.spent

    @property
    def unit(self) -> str:
        """Unit of the length of the run."""
        return "steps" if self.limit is None else "s of processor time"


PERTURBATION, CROPS, DISCRIMINATOR_CROPS = 1, 3, 4
"""Purposes of random numbers in a step; those of its samples are in hfmoe.data.samples."""


def step_generator(
    progress: Progress, *, seed: int, purpose: int, rank: int = 0, device: torch.device | str = "cpu"
) -> torch.Generator:
    """Seed a generator from nothing but (seed, step, purpose, process)."""
    words = [seed, progress.step, purpose, *([rank] if rank else [])]
    state = np.random.SeedSequence(words).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(state >> 1))
