"""The parts of a run, and what its loop does beside stepping: log, validate, show samples."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lightning_fabric import Fabric
from torch import Tensor

from hfmoe.image.files import ImageError
from hfmoe.models.peer import Network
from hfmoe.train.learner import Learner
from hfmoe.train.monitor import Meter, RoutingAlarm
from hfmoe.train.objective import Loss
from hfmoe.train.progress import Clock, Standing, finished, processor_clock
from hfmoe.train.recipe import Recipe
from hfmoe.train.run_folder import Change, RunFolder, save_outcome
from hfmoe.train.run_log import Journal
from hfmoe.train.sample_grids import keep_samples, samples_due
from hfmoe.train.schedule import (
    degrades,
    described,
    learning_rate,
    patch_size,
    phase_at,
    phase_begins,
    router_temperature,
    task_facts,
)
from hfmoe.train.screen import Screen, in_words
from hfmoe.train.validation import Example, side_by_side, validate


@dataclass(frozen=True)
class Trainer:
    """The parts of a run that the loop's functions share; none of them changes which part it is."""

    recipe: Recipe
    folder: RunFolder
    fabric: Fabric
    learner: Learner
    losses: tuple[Loss, ...]
    examples: tuple[Example, ...]
    journal: Journal | None
    screen: Screen
    meter: Meter
    alarm: RoutingAlarm
    photos: str
    changes: tuple[Change, ...] = ()
    clock: Clock = processor_clock


def look(trainer: Trainer, step: int, moment: int) -> None:
    """Write and show what happened since the last look; raises NonFiniteError.

    `step` are the steps done, the last of them at `moment` of the schedule.
    """
    recipe = trainer.recipe
    seen = trainer.meter.read()
    if not seen["loss"]:
        return
    record = {
        "kind": "train",
        "step": step,
        **seen,
        "lr": learning_rate(moment, steps=recipe.steps, optimizer=recipe.optimizer),
        "patch": patch_size(moment, steps=recipe.steps, sizes=recipe.patch),
        "temperature": router_temperature(moment, steps=recipe.steps, perturb=recipe.perturb),
    }
    if trainer.journal is not None:
        trainer.journal.write(record)
        trainer.screen.show(record)
        if degrades(recipe.tasks):
            facts = task_facts(recipe.tasks, moment / recipe.steps)
            trainer.journal.write({"kind": "tasks", "step": step, **facts})
    for news in trainer.alarm.look(seen["load"], step=step):
        tell(trainer, news)


def announce_tasks(trainer: Trainer, step: int, moment: int, *, before: int | None, resumed: bool) -> None:
    """Say which tasks the next steps draw from where that changes, and write it unless it was written.

    `before` is the moment of the schedule of the step before, None for the first.
    """
    recipe = trainer.recipe
    begins = phase_begins(recipe.tasks, moment, before, steps=recipe.steps)
    if trainer.journal is None or not (begins or resumed) or not degrades(recipe.tasks):
        return
    facts = task_facts(recipe.tasks, moment / recipe.steps)
    moving = phase_at(recipe.tasks, moment / recipe.steps).moving
    changing = f"; changing from here: {', '.join(moving)}" if moving else ""
    trainer.screen.say(f"from step {step + 1}: {described(facts)}{changing}")
    if begins:
        trainer.journal.write({"kind": "tasks", "step": step + 1, **facts, "changing": list(moving)})


def tell(trainer: Trainer, record: Mapping[str, Any]) -> None:
    """Write a record of kind "fault" or "alarm" and say it, in the first process."""
    if trainer.journal is None:
        return
    trainer.journal.write(record)
    trainer.screen.say(in_words(record))


def judge(trainer: Trainer, standing: Standing) -> Standing:
    """Score the averaged weights in the first process and keep them if they are the best so far."""
    trainer.meter.check()
    if not trainer.examples:
        return standing
    network = trainer.learner.averaged()
    standing = score(trainer, standing, network) if trainer.journal is not None else standing
    return trainer.fabric.broadcast(standing)


def score(trainer: Trainer, standing: Standing, network: Network) -> Standing:
    """Score the averaged weights, write them if they are the best so far, and show a few pictures.

    A best that cannot be written does not count as one, so that the next one is tried.
    """
    recipe, step, journal = trainer.recipe, standing.step, trainer.journal
    assert journal is not None
    result = validate(network, trainer.examples, keep=recipe.log.samples)
    if not math.isfinite(result.psnr):
        trainer.screen.say(f"step {step}: the averaged weights score {result.psnr}, which is left out")
        return standing
    best = result.psnr if standing.best is None else max(standing.best, result.psnr)
    spent = {"processor_seconds": round(standing.spent, 3)}
    record = {"kind": "validation", "step": step, **result.facts(), "best": best, **spent}
    journal.write(record)
    trainer.screen.show(record)
    standing = replace(standing, latest=result.psnr)
    if standing.best is None or result.psnr > standing.best:
        facts = {"psnr": result.psnr, "tasks": result.tasks, "changes": trainer.changes}
        try:
            save_outcome(trainer.folder.best, network, recipe, step=step, **facts)
            standing = replace(standing, best=result.psnr)
        except OSError as error:
            what = f"{trainer.folder.best} could not be written: {error.strerror or error}"
            tell(trainer, {"kind": "fault", "step": step, "what": what, "action": "went on"})
    if samples_due(step, recipe, last=finished(standing, recipe)):
        show_samples(trainer, journal, result.restored, step=step)
    return standing


def show_samples(trainer: Trainer, journal: Journal, restored: Sequence[Tensor], *, step: int) -> None:
    """Put pictures into TensorBoard and the run's folder; a folder that takes none does not end the run."""
    for example, image in zip(trainer.examples, restored, strict=False):
        journal.picture(example.name, side_by_side(example, image), step=step)
    try:
        scale = trainer.recipe.config().scale
        keep_samples(trainer.folder.samples, trainer.examples, restored, step=step, scale=scale)
    except (ImageError, OSError) as error:
        trainer.screen.say(f"no sample pictures of step {step}: {error}")
