"""The parts of a run, and what its loop does beside stepping: log, validate, show samples."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lightning_fabric import Fabric
from torch import Tensor

from hfmoe.image.files import ImageError
from hfmoe.models.external import Network
from hfmoe.train.learner import Learner
from hfmoe.train.monitor import Meter, RoutingAlarm
from hfmoe.train.objective import Loss
from hfmoe.train.progress import Clock, Progress, processor_clock
from hfmoe.train.recipe import Recipe
from hfmoe.train.run_folder import Change, RunFolder, save_run_weights
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
    teachers: Mapping[str, Any]
    changes: tuple[Change, ...] = ()
    clock: Clock = processor_clock


def log_training(trainer: Trainer, progress: Progress, at: Progress) -> None:
    """Write and show losses, loads and speed since the last record. Raises NonFiniteError.

    `at` is the progress before the last step, whose rate, patch and temperature are written.
    """
    recipe = trainer.recipe
    values = trainer.meter.read()
    if not values["loss"]:
        return
    record = {
        "kind": "train",
        "step": progress.step,
        **values,
        "lr": learning_rate(at, optimizer=recipe.optimizer),
        "patch": patch_size(at, sizes=recipe.patch),
        "temperature": router_temperature(at, perturb=recipe.perturb),
    }
    if trainer.journal is not None:
        trainer.journal.write(record)
        trainer.screen.show(record)
        if degrades(recipe.tasks):
            facts = task_facts(recipe.tasks, at.share)
            trainer.journal.write({"kind": "tasks", "step": progress.step, **facts})
    for alarm in trainer.alarm.check(values["load"], step=progress.step):
        log_event(trainer, alarm)


def log_tasks(trainer: Trainer, progress: Progress, *, before: float | None, resumed: bool) -> None:
    """Say which tasks the next steps draw from where that changes, and write it unless it was written.

    `before` is the share of the run of the step before, None for the first.
    """
    recipe = trainer.recipe
    begins = phase_begins(recipe.tasks, progress.share, before)
    if trainer.journal is None or not (begins or resumed) or not degrades(recipe.tasks):
        return
    facts = task_facts(recipe.tasks, progress.share)
    moving = phase_at(recipe.tasks, progress.share).moving
    changing = f"; changing from here: {', '.join(moving)}" if moving else ""
    step = progress.step + 1
    trainer.screen.say(f"from step {step}: {described(facts)}{changing}")
    if begins:
        trainer.journal.write({"kind": "tasks", "step": step, **facts, "changing": list(moving)})


def log_event(trainer: Trainer, record: Mapping[str, Any]) -> None:
    """Write a record of kind "fault" or "alarm" and say it, in the first process."""
    if trainer.journal is None:
        return
    trainer.journal.write(record)
    trainer.screen.say(in_words(record))


def run_validation(trainer: Trainer, progress: Progress) -> Progress:
    """Score the averaged weights in the first process and save them if they are the best so far."""
    trainer.meter.check()
    if not trainer.examples:
        return progress
    network = trainer.learner.averaged()
    progress = score_average(trainer, progress, network) if trainer.journal is not None else progress
    return trainer.fabric.broadcast(progress)


def score_average(trainer: Trainer, progress: Progress, network: Network) -> Progress:
    """Score the averaged weights, write them if they are the best so far, and show a few pictures.

    A best that cannot be written does not count as one, so that the next one is tried.
    """
    recipe, step, journal = trainer.recipe, progress.step, trainer.journal
    assert journal is not None
    result = validate(network, trainer.examples, keep=recipe.log.samples)
    if not math.isfinite(result.psnr):
        trainer.screen.say(f"step {step}: the averaged weights score {result.psnr}, which is left out")
        return progress
    best = result.psnr if progress.best is None else max(progress.best, result.psnr)
    spent = {"processor_seconds": round(progress.spent, 3)}
    record = {"kind": "validation", "step": step, **result.facts(), "best": best, **spent}
    journal.write(record)
    trainer.screen.show(record)
    progress = replace(progress, latest=result.psnr)
    if progress.best is None or result.psnr > progress.best:
        facts = {"psnr": result.psnr, "tasks": result.tasks, "changes": trainer.changes}
        facts |= {"teachers": trainer.teachers}
        try:
            save_run_weights(trainer.folder.best, network, recipe, step=step, **facts)
            progress = replace(progress, best=result.psnr)
        except OSError as error:
            what = f"{trainer.folder.best} could not be written: {error.strerror or error}"
            log_event(trainer, {"kind": "fault", "step": step, "what": what, "action": "went on"})
    if samples_due(step, recipe, last=progress.finished):
        show_samples(trainer, journal, result.restored, step=step)
    return progress


def show_samples(trainer: Trainer, journal: Journal, restored: Sequence[Tensor], *, step: int) -> None:
    """Put pictures into TensorBoard and the run's folder; a folder that takes none does not end the run."""
    for example, image in zip(trainer.examples, restored, strict=False):
        journal.picture(example.name, side_by_side(example, image), step=step)
    try:
        scale = trainer.recipe.config().scale
        keep_samples(trainer.folder.samples, trainer.examples, restored, step=step, scale=scale)
    except (ImageError, OSError) as error:
        trainer.screen.say(f"no sample pictures of step {step}: {error}")
