"""Real training steps measured in a process of their own, so that a run's batch and patch can be proposed.

`python -m hfmoe.train.probe` reads an order as JSON from stdin and writes a JSON line for each trial.
"""

import json
import math
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from lightning_fabric import Fabric

from hfmoe.data import Pair
from hfmoe.infer.devices import choose_device
from hfmoe.infer.memory import free_bytes
from hfmoe.runtime.memory import peak_mib, reuse_memory
from hfmoe.train.adversary import opponent_step
from hfmoe.train.learner import Learner, build_learner
from hfmoe.train.loading import make_recipe
from hfmoe.train.numerics import find_accelerator, numerics
from hfmoe.train.objective import Loss, build_losses, objective_at
from hfmoe.train.proposal import SHARE, MemoryFit, Trial, candidates, choose
from hfmoe.train.recipe import Recipe
from hfmoe.train.step import accumulate, descend, perturbation
from hfmoe.train.terms import fullest_share

STEPS = 3
SHORTEST = 0.05
"""Seconds of a step below which it is worth timing more of them."""


class ProbeError(RuntimeError):
    """No training step could be measured."""


@dataclass(frozen=True)
class Probe:
    """What was measured, and what follows: the trial to train like, and the largest batch at its patch.

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
        """Give plain values for JSON."""
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
    command = [sys.executable, "-m", __name__]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment) as child:
        alarm = threading.Timer(seconds + 30, child.kill)
        alarm.start()
        try:
            out, errors = child.communicate(json.dumps(order))
        except BaseException:
            child.kill()
            raise
        finally:
            alarm.cancel()
    lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    trials = [Trial(**line["trial"]) for line in lines if "trial" in line]
    stopped = next((line["stopped"] for line in lines if "stopped" in line), "")
    if child.returncode and not stopped:
        last = (errors.strip().splitlines() or ["no word"])[-1]
        stopped = f"the process ended with status {child.returncode}: {last}"
    return trials, stopped


def _trials(recipe: Recipe, order: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Measure one candidate after another, the smallest first, until time or memory runs out."""
    done: list[Trial] = []
    with numerics(recipe.hardware) as fabric:
        learner, _ = build_learner(recipe, fabric)
        losses = build_losses(recipe, device=fabric.device, judge=learner.judge)
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
    pair = Pair(*(torch.rand(batch, config.channels, size, size, device=fabric.device) for size in sizes))
    pair = Pair(*(side.contiguous(memory_format=torch.channels_last) for side in pair))
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
    perturb = perturbation(step, recipe, moment=step, fabric=fabric)
    objective = objective_at(step, recipe, losses)
    values, restored = accumulate(fabric, learner.model, pair, objective=objective, perturb=perturb, parts=1)
    clip = recipe.optimizer.clip
    descend(fabric, learner.model, learner.optimizer, losses=values, lr=0.0, clip=clip)
    learner.average.update(recipe.ema)
    opponent_step(learner.adversary, recipe, step, restored.image, pair.target)


def _alone(recipe: Recipe) -> Recipe:
    """The recipe as one process of it runs, without compiling, which would take the time of the probe."""
    fields = {"devices": 1, "nodes": 1, "accumulate": 1, "strategy": "auto", "compile": False}
    hardware = recipe.hardware.model_copy(update=fields)
    return recipe.model_copy(update={"hardware": hardware, "init": None})


def _main() -> None:
    reuse_memory()
    order = json.load(sys.stdin)
    recipe = _alone(make_recipe(order["recipe"]))
    for line in _trials(recipe, order):
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main()
