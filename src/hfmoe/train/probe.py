"""Batch and patch proposed for a recipe from real training steps, measured in a process of their own."""

import math
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

from hfmoe.data import Pair
from hfmoe.infer.eager import choose_device
from hfmoe.infer.memory import free_bytes
from hfmoe.runtime.child import ChildError, run_in_child
from hfmoe.runtime.memory import peak_mib, reuse_memory
from hfmoe.train.discriminator import discriminator_step
from hfmoe.train.hardware import find_accelerator, numerics
from hfmoe.train.learner import Learner, build_learner
from hfmoe.train.loading import make_recipe
from hfmoe.train.objective import Loss, build_losses, fullest_share
from hfmoe.train.optimizer import descend
from hfmoe.train.progress import Progress
from hfmoe.train.recipe import Recipe
from hfmoe.train.step import generator_gradients

SHARE = 0.7
"""Share of free memory that a run may take: data, the system and growth need the rest."""

_CLOSE = 0.1


@dataclass(frozen=True)
class Trial:
    """Training steps measured at one batch and patch: median seconds a step, peak bytes of the process."""

    batch: int
    patch: int
    seconds: float
    peak: int

    @property
    def pixels(self) -> int:
        """Degraded pixels of a step."""
        return self.batch * self.patch**2

    @property
    def pixels_per_second(self) -> float:
        """Degraded pixels trained on in a second."""
        return self.pixels / self.seconds

    @property
    def images_per_second(self) -> float:
        """Crops trained on in a second."""
        return self.batch / self.seconds


@dataclass(frozen=True)
class MemoryFit:
    """Peak bytes as resting + per_pixel * batch * patch**2."""

    resting: float
    per_pixel: float

    @classmethod
    def of(cls, trials: Sequence[Trial]) -> "MemoryFit":
        """Fit the line by least squares, neither part negative; one trial alone is all per pixel."""
        if not trials:
            raise ValueError("no trial to fit memory to")
        pixels = np.array([trial.pixels for trial in trials], dtype=np.float64)
        peaks = np.array([trial.peak for trial in trials], dtype=np.float64)
        if np.ptp(pixels) == 0:
            return cls(0.0, float((peaks / pixels).max()))
        slope = max(float(np.polyfit(pixels, peaks, 1)[0]), 0.0)
        return cls(max(float((peaks - slope * pixels).mean()), 0.0), slope)

    def peak(self, batch: int, patch: int) -> float:
        """Predict the peak bytes of a step."""
        return self.resting + self.per_pixel * batch * patch**2

    def largest_batch(self, patch: int, limit: int) -> int:
        """Return the largest batch at a patch whose step stays within the limit; 0 where none does."""
        if self.per_pixel <= 0:
            return 0 if self.resting > limit else 1
        return max(int((limit - self.resting) / (self.per_pixel * patch**2)), 0)


def candidates(*, batch: int, patch: int, multiple: int, room: int | None) -> list[tuple[int, int]]:
    """List (batch, patch) to try, the smallest steps first, those of the recipe among them.

    Patches are multiples of the network's size multiple up to 4 of them or the recipe's patch, and no larger
    than `room`, the side of degraded pixels that most photos have.
    """
    patches = {multiple, 2 * multiple, patch}
    patches |= {3 * multiple, 4 * multiple} if patch > 2 * multiple else set()
    fitting = {size for size in patches if room is None or size <= room} or {min(patches)}
    pairs = {(count, size) for size in fitting for count in (1, 4, 16, 64) if count <= 4 * batch}
    pairs |= {(batch, size) for size in fitting}
    return sorted(pairs, key=lambda pair: (pair[0] * pair[1] ** 2, pair[1]))


def choose(trials: Sequence[Trial], *, limit: int) -> Trial | None:
    """Choose the trial within the limit of bytes that trains on most pixels a second; None where none fits.

    Of those within 10 % of the best the one with the most pixels a step wins, whose gradient is the calmest.
    """
    fitting = [trial for trial in trials if trial.peak <= limit]
    if not fitting:
        return None
    best = max(trial.pixels_per_second for trial in fitting)
    close = [trial for trial in fitting if trial.pixels_per_second >= (1 - _CLOSE) * best]
    return max(close, key=lambda trial: (trial.pixels, trial.patch))


STEPS = 3
SHORTEST = 0.05
"""Seconds of a step below which it is worth timing more of them."""


class ProbeError(RuntimeError):
    """No training step could be measured."""


@dataclass(frozen=True)
class Probe:
    """Measured trials, and what follows: the trial to train like, and the largest batch at its patch.

    `limit` is in bytes; `stopped` says why not all candidates were tried, "" where they were.
    """

    device: str
    limit: int
    trials: tuple[Trial, ...]
    proposal: Trial | None
    fit: MemoryFit
    largest_batch: int
    stopped: str

    def as_data(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        trials = [{**asdict(trial), "images_per_second": trial.images_per_second} for trial in self.trials]
        proposal = None
        if self.proposal:
            proposal = {"batch": self.proposal.batch, "patch": self.proposal.patch}
        return {**asdict(self), "trials": trials, "proposal": proposal}


def probe(recipe: Recipe, *, limit: int | None, seconds: float, room: int | None = None) -> Probe:
    """Measure steps of a recipe's network at a few batches and patches, within about `seconds`.

    `limit` is the memory in bytes that may be taken, by default a share of what is free. Candidates that
    would pass it are not run. Raises ProbeError when not a single step could be measured.
    """
    device = _device(recipe)
    limit = limit or int(free_bytes(torch.device(device)) * SHARE)
    patch = max(size for _, size in recipe.patch)
    order = {
        "recipe": recipe.as_data(),
        "candidates": candidates(
            batch=recipe.batch, patch=patch, multiple=recipe.config().size_multiple, room=room
        ),
        "limit": limit,
        "deadline": time.time() + seconds,
    }
    trials, stopped = _run(order, seconds=seconds)
    if not trials:
        raise ProbeError(f"no training step could be measured: {stopped}")
    fit, proposal = MemoryFit.of(trials), choose(trials, limit=limit)
    largest = fit.largest_batch(proposal.patch, limit) if proposal else 0
    return Probe(device, limit, tuple(trials), proposal, fit, largest, stopped)


def _device(recipe: Recipe) -> str:
    wanted = recipe.hardware.accelerator
    wanted = find_accelerator() if wanted == "auto" else {"gpu": "cuda"}.get(wanted, wanted)
    return str(choose_device(wanted))


def _run(order: dict[str, Any], *, seconds: float) -> tuple[list[Trial], str]:
    """Trials of the child process and why it ended early; it is killed when it hangs."""
    try:
        lines = run_in_child(
            measure_job, order, timeout=seconds + 30, environment={"PYTHONWARNINGS": "ignore"}
        )
        failure = ""
    except ChildError as error:
        lines, failure = error.values, str(error)
    trials = [Trial(**line["trial"]) for line in lines if "trial" in line]
    return trials, next((line["stopped"] for line in lines if "stopped" in line), failure)


def _trials(recipe: Recipe, order: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Measure one candidate after another, the smallest first, until time or memory runs out."""
    done: list[Trial] = []
    with numerics(recipe.hardware) as fabric:
        learner, _ = build_learner(recipe, fabric)
        losses = build_losses(recipe.loss, device=fabric.device, discriminate=learner.discriminate)
        for batch, patch in order["candidates"]:
            predicted = _prediction(done, batch, patch)
            if predicted.peak > order["limit"]:
                yield {"stopped": f"batch {batch} of patch {patch} would pass the memory limit"}
                return
            if done and time.time() + (STEPS + 1) * predicted.seconds > order["deadline"]:
                yield {"stopped": f"no time was left for batch {batch} of patch {patch}"}
                return
            try:
                done.append(_trial(recipe, fabric, learner, losses, batch=batch, patch=patch))
            except (torch.OutOfMemoryError, MemoryError):
                yield {"stopped": f"batch {batch} of patch {patch} ran out of memory"}
                return
            yield {"trial": asdict(done[-1])}


def _prediction(done: Sequence[Trial], batch: int, patch: int) -> Trial:
    """Expect what a step will take: time grows with its pixels, memory by the line so far."""
    if not done:
        return Trial(batch, patch, 0.0, 0)
    seconds = done[-1].seconds * batch * patch**2 / done[-1].pixels
    peak = MemoryFit.of(done).peak(batch, patch) if len(done) > 1 else 0
    return Trial(batch, patch, seconds, int(peak))


def _trial(
    recipe: Recipe, fabric: Fabric, learner: Learner, losses: Sequence[Loss], *, batch: int, patch: int
) -> Trial:
    """Run and time a few steps on random images; the first, which allocates, does not count."""
    config = recipe.config()
    sizes = (patch, config.scale * patch)
    degraded, target = (
        torch.rand(batch, config.channels, size, size, device=fabric.device) for size in sizes
    )
    pair = Pair(degraded, target, target).map(lambda side: side.contiguous(memory_format=torch.channels_last))
    on_cuda = fabric.device.type == "cuda"
    if on_cuda:
        torch.cuda.reset_peak_memory_stats(fabric.device)
    spent: list[float] = []
    while len(spent) <= STEPS or (sum(spent[1:]) < SHORTEST * STEPS and len(spent) < 10 * STEPS):
        start = time.perf_counter()
        _step(recipe, fabric, learner, losses, pair)
        if on_cuda:
            torch.cuda.synchronize(fabric.device)
        spent.append(time.perf_counter() - start)
    peak = torch.cuda.max_memory_reserved(fabric.device) if on_cuda else int(peak_mib() * 2**20)
    return Trial(batch, patch, statistics.median(spent[1:]), peak)


def _step(recipe: Recipe, fabric: Fabric, learner: Learner, losses: Sequence[Loss], pair: Pair) -> None:
    step = min(math.ceil(fullest_share(recipe.loss) * recipe.steps), recipe.steps - 1)
    progress = Progress(recipe.steps, step=step)
    values, restored = generator_gradients(progress, recipe, learner, losses, pair, fabric=fabric, parts=1)
    clip = recipe.optimizer.clip
    descend(fabric, learner.model, learner.optimizer, losses=values, lr=0.0, clip=clip)
    learner.average.update(recipe.ema)
    discriminator_step(learner.discriminator, recipe, progress, restored.image, pair)


def _alone(recipe: Recipe) -> Recipe:
    """The recipe as one process of it runs, without compiling, which would take the time of the probe."""
    fields = {"devices": 1, "nodes": 1, "accumulate": 1, "strategy": "auto", "compile": False}
    hardware = recipe.hardware.model_copy(update=fields)
    return recipe.model_copy(update={"hardware": hardware, "init": None})


def measure_job(order: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Measure in this process, which must be a fresh one: a trial, or why there are no more, at a time."""
    reuse_memory()
    yield from _trials(_alone(make_recipe(order["recipe"])), order)
