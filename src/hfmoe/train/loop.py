"""The training loop: build or resume, and for each step: batch, step, log, validate, save."""

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from lightning_fabric import Fabric
from torch import Tensor

from hfmoe.data import PhotoSet
from hfmoe.train.batches import batches, read_data
from hfmoe.train.checkpoints import CheckpointError, record_changes, save_first
from hfmoe.train.faults import recover, save_or_roll_back
from hfmoe.train.hardware import (
    Requests,
    StopSignal,
    TrainingInterrupted,
    agreed,
    as_launched,
    averaging,
    from_first,
    numerics,
    together,
)
from hfmoe.train.learner import Learner, build_learner, priors
from hfmoe.train.monitor import Meter, RoutingAlarm
from hfmoe.train.objective import build_losses, check_losses
from hfmoe.train.progress import Clock, Progress, processor_clock
from hfmoe.train.recipe import Recipe
from hfmoe.train.resume import Past, new_run, read_past, with_photos
from hfmoe.train.run_folder import (
    RunError,
    RunFolder,
    save_run_weights,
)
from hfmoe.train.run_log import Journal, session_record
from hfmoe.train.sample_grids import forget_samples_after
from hfmoe.train.screen import Screen
from hfmoe.train.step import train_step
from hfmoe.train.trainer import Trainer, log_tasks, log_training, run_validation


@dataclass(frozen=True)
class TrainingResult:
    """Result of a run: its folder, steps done, whether that was all of them, and the best validation PSNR.

    spent: seconds of processor time that went into the steps.
    """

    run: Path
    step: int
    finished: bool
    best: float | None
    spent: float = 0.0


def train(
    recipe: Recipe, *, resume: bool = False, change: bool = False, clock: Clock = processor_clock
) -> TrainingResult:
    """Train a network by a recipe; with `resume`, go on exactly where the run in the recipe's folder stopped.

    A resumed run refuses a recipe or photos that differ from before; with `change` it takes and records them.
    `clock` tells the processor time that steps take.
    Raises RunError for the folder, DataError and ImageError for photos, WeightsError for the weights to start
    from, NonFiniteError, and TrainingInterrupted when Ctrl-C or SIGTERM ended the run after saving its state
    (in the first process; the others of a run return).
    """
    if change and not resume:
        raise ValueError("change must come with resume: a new run has nothing to change")
    recipe = as_launched(recipe)
    folder = RunFolder(recipe.run)
    with ExitStack() as stack:
        fabric = stack.enter_context(numerics(recipe.hardware))
        first = fabric.is_global_zero
        past = from_first(
            fabric, lambda: read_past(folder, recipe, change=change) if resume else new_run(folder)
        )
        progress = past.progress(recipe)
        screen = Screen(name=recipe.name, progress=progress, quiet=not first)
        stack.enter_context(screen)
        together(fabric, lambda: check_losses(recipe.loss))
        photos, examples = read_data(recipe, fabric, screen)
        past = together(fabric, lambda: with_photos(past, photos, run=recipe.run, change=change))
        learner = ready(recipe, fabric, past, screen)
        losses = build_losses(recipe.loss, device=fabric.device, discriminate=learner.discriminate)
        if first and not resume:
            folder.begin(recipe)
        stop = stack.enter_context(StopSignal())
        journal = None
        if first:
            journal = Journal(folder.metrics, folder.board, step=progress.step, complain=screen.say)
            stack.enter_context(journal)
            forget_samples_after(folder.samples, progress.step)
            journal.write(session_record(recipe, fabric, photos, step=progress.step, resumed=resume))
        trainer = Trainer(
            recipe,
            folder,
            fabric,
            learner,
            losses,
            examples,
            journal,
            screen,
            Meter(average=averaging(fabric)),
            routing_alarm(learner, recipe, past),
            photos.identity,
            photos.teachers,
            (*past.changes, *past.news),
            clock,
        )
        if past.news:
            record_changes(trainer, progress, past.news)
        save_first(trainer, progress)
        return run(trainer, photos, progress, stop)


def ready(recipe: Recipe, fabric: Fabric, past: Past, screen: Screen) -> Learner:
    """Build what learns, from its seed, from other weights, or as the run left it."""
    learner, start = build_learner(recipe, fabric, resumed=past.state is not None)
    if past.state:
        if shapes(past.state["network"]) != shapes(learner.network.state_dict()):
            raise RunError(
                f"{recipe.run} holds a network that the preset {recipe.preset} no longer gives; "
                "say its sizes in the field network"
            )
        learner.restore(past.state)
    elif start:
        fresh, left = (", ".join(names) or "none" for names in (start.fresh, start.left))
        screen.say(f"{len(start.taken)} tensors from {recipe.init}; fresh: {fresh}; not taken: {left}")
    return learner


def shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Shapes by name."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def routing_alarm(learner: Learner, recipe: Recipe, past: Past) -> RoutingAlarm:
    """The alarm of the routing, where the run left it; older checkpoints do not say where."""
    alarm = RoutingAlarm(priors(learner.network), recipe.faults.load_bounds)
    if past.state and "alarm" in past.state:
        alarm.restore(past.state["alarm"])
    return alarm


def run(trainer: Trainer, photos: PhotoSet, progress: Progress, stop: StopSignal) -> TrainingResult:
    """Train from where the run is to its last step, its time limit or a request to stop."""
    recipe, meter, fabric = trainer.recipe, trainer.meter, trainer.fabric
    begin = saved = time.monotonic()
    first, before = progress.step, progress.last_share
    make_batch = batches(photos, recipe, fabric, first=first)
    while not progress.finished:
        at = progress
        log_tasks(trainer, at, before=before, resumed=at.step == first)
        start = trainer.clock()
        pair = meter.wait_for(partial(make_batch, at))
        fault = train_step(trainer, at, pair)
        spent = at.spent + trainer.clock() - start
        progress, before = replace(at, step=at.step + 1, spent=spent), at.share
        if fault:
            progress = recover(trainer, photos, progress, pair, fault, at=at)
        trainer.screen.tick(progress)
        now = time.monotonic()
        late = now - begin >= 60 * (recipe.time_limit_minutes or float("inf"))
        due = now - saved >= 60 * recipe.checkpoint_minutes
        requests = agreed(fabric, Requests(stop.signal, late, due), step=progress.step)
        stopping = requests.signal is not None or requests.out_of_time
        last = progress.finished or stopping
        if progress.step % recipe.log.every == 0 or last:
            log_training(trainer, progress, at)
        if progress.step % recipe.validation.every == 0 or progress.finished:
            progress = run_validation(trainer, progress)
        if last or requests.save or progress.step % recipe.faults.keep_every == 0:
            progress = (save_last if last else save_or_roll_back)(trainer, progress)
            saved = time.monotonic()
        if requests.signal is not None:
            return interrupted(trainer, progress, requests.signal)
        if stopping:
            break
    return conclude(trainer, progress)


def save_last(trainer: Trainer, progress: Progress) -> Progress:
    """Save the state of a run that ends; where a finished one finds no room, its weights may still do so."""
    try:
        return save_or_roll_back(trainer, progress, last=True)
    except CheckpointError:
        try:
            if progress.finished:
                conclude(trainer, progress)
        except OSError as error:
            trainer.screen.say(f"{trainer.folder.last} could not be written: {error.strerror or error}")
        raise


def conclude(trainer: Trainer, progress: Progress) -> TrainingResult:
    """Write the averaged weights of a run that has done all its steps, and say how it ends."""
    if not progress.finished:
        trainer.screen.say(f"out of time after step {progress.step}; --resume goes on")
        return result_of(trainer, progress)
    network = trainer.learner.averaged()
    if trainer.fabric.is_global_zero:
        facts = {"step": progress.step, "psnr": progress.latest, "changes": trainer.changes}
        facts |= {"teachers": trainer.teachers}
        save_run_weights(trainer.folder.last, network, trainer.recipe, **facts)
    trainer.screen.say(f"done: {trainer.folder.last}")
    return result_of(trainer, progress)


def interrupted(trainer: Trainer, progress: Progress, signal: int) -> TrainingResult:
    """End a run whose state is saved: the first process raises TrainingInterrupted, the others just leave."""
    if trainer.fabric.is_global_zero:
        raise TrainingInterrupted(signal, step=progress.step)
    return result_of(trainer, progress)


def result_of(trainer: Trainer, progress: Progress) -> TrainingResult:
    """Return how far the run is."""
    return TrainingResult(trainer.recipe.run, progress.step, progress.finished, progress.best, progress.spent)
