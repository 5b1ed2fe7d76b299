"""The training loop: build or go on, and for each step: batch, step, average, look, judge, save."""

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from lightning_fabric import Fabric
from torch import Tensor

from hfmoe.data import Pair, PhotoSet
from hfmoe.train.batches import feed, read_data
from hfmoe.train.checkpoints import announce, begin_keeping
from hfmoe.train.diagnosis import Symptom, symptom_of
from hfmoe.train.discriminator import opponent_step
from hfmoe.train.faults import keep, survive
from hfmoe.train.hardware import (
    StopWish,
    TrainingInterrupted,
    Wishes,
    agreed,
    as_launched,
    averaging,
    from_first,
    numerics,
    together,
)
from hfmoe.train.learner import Learner, build_learner, priors
from hfmoe.train.monitor import Meter, RoutingAlarm
from hfmoe.train.objective import build_losses, check_losses, objective_at
from hfmoe.train.progress import (
    Clock,
    Standing,
    earlier,
    extent,
    finished,
    moment_of,
    processor_clock,
    reached,
)
from hfmoe.train.recipe import Recipe
from hfmoe.train.run_folder import CheckpointError, Past, RunError, RunFolder, save_outcome, with_photos
from hfmoe.train.run_log import Journal, session_record
from hfmoe.train.sample_grids import forget_samples_after
from hfmoe.train.schedule import average_decay, learning_rate
from hfmoe.train.screen import Screen
from hfmoe.train.step import accumulate, balance_experts, descend, perturbation
from hfmoe.train.trainer import Trainer, announce_tasks, judge, look


@dataclass(frozen=True)
class TrainingResult:
    """How a run ended: its folder, steps done, whether that was all of them, and the best validation PSNR.

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
            fabric, lambda: folder.resume(recipe, change=change) if resume else folder.check_free()
        )
        standing = past.standing()
        screen = Screen(name=recipe.name, of=extent(recipe), start=reached(standing, recipe), quiet=not first)
        stack.enter_context(screen)
        together(fabric, lambda: check_losses(recipe))
        photos, examples = read_data(recipe, fabric, screen)
        past = together(fabric, lambda: with_photos(past, photos, run=recipe.run, change=change))
        learner = ready(recipe, fabric, past, screen)
        losses = build_losses(recipe, device=fabric.device, judge=learner.judge)
        if first and not resume:
            folder.begin(recipe)
        wish = stack.enter_context(StopWish())
        journal = None
        if first:
            journal = Journal(folder.metrics, folder.board, step=standing.step, complain=screen.say)
            stack.enter_context(journal)
            forget_samples_after(folder.samples, standing.step)
            journal.write(session_record(recipe, fabric, photos, step=standing.step, resumed=resume))
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
            watchful(learner, recipe, past),
            photos.identity,
            (*past.changes, *past.news),
            clock,
        )
        if past.news:
            announce(trainer, standing, past.news)
        begin_keeping(trainer, standing)
        return run(trainer, photos, standing, wish)


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


def watchful(learner: Learner, recipe: Recipe, past: Past) -> RoutingAlarm:
    """The alarm of the routing, where the run left it; older checkpoints do not say where."""
    alarm = RoutingAlarm(priors(learner.network), recipe.faults.load_bounds)
    if past.state and "alarm" in past.state:
        alarm.restore(past.state["alarm"])
    return alarm


def run(trainer: Trainer, photos: PhotoSet, standing: Standing, wish: StopWish) -> TrainingResult:
    """Train from where the run stands to its last step, its time limit or a wish to stop."""
    recipe, meter, fabric = trainer.recipe, trainer.meter, trainer.fabric
    begin = saved = time.monotonic()
    first, before = standing.step, earlier(standing, recipe)
    make_batch = feed(photos, recipe, fabric, first=first)
    while not finished(standing, recipe):
        moment = moment_of(standing, recipe)
        announce_tasks(trainer, standing.step, moment, before=before, resumed=standing.step == first)
        start = trainer.clock()
        pair = meter.wait_for(partial(make_batch, standing.step, moment))
        symptom = train_step(trainer, standing.step, pair, moment)
        spent = standing.spent + trainer.clock() - start
        standing, before = replace(standing, step=standing.step + 1, spent=spent), moment
        if symptom:
            standing = survive(trainer, photos, standing, pair, symptom, moment=moment)
        trainer.screen.tick(reached(standing, recipe))
        now = time.monotonic()
        late = now - begin >= 60 * (recipe.time_limit_minutes or float("inf"))
        due = now - saved >= 60 * recipe.checkpoint_minutes
        wishes = agreed(fabric, Wishes(wish.signal, late, due), step=standing.step)
        stop = wishes.signal is not None or wishes.out_of_time
        ended = finished(standing, recipe)
        last = ended or stop
        if standing.step % recipe.log.every == 0 or last:
            look(trainer, standing.step, moment)
        if standing.step % recipe.validation.every == 0 or ended:
            standing = judge(trainer, standing)
        if last or wishes.save or standing.step % recipe.faults.keep_every == 0:
            standing = keep_last(trainer, standing) if last else keep(trainer, standing)
            saved = time.monotonic()
        if wishes.signal is not None:
            return interrupted(trainer, standing, wishes.signal)
        if stop:
            break
    return conclude(trainer, standing)


def keep_last(trainer: Trainer, standing: Standing) -> Standing:
    """Save the state of a run that ends; where a finished one finds no room, its weights may still do so."""
    try:
        return keep(trainer, standing, last=True)
    except CheckpointError:
        try:
            if finished(standing, trainer.recipe):
                conclude(trainer, standing)
        except OSError as error:
            trainer.screen.say(f"{trainer.folder.last} could not be written: {error.strerror or error}")
        raise


def conclude(trainer: Trainer, standing: Standing) -> TrainingResult:
    """Write the averaged weights of a run that has done all its steps, and say how it ends."""
    if not finished(standing, trainer.recipe):
        trainer.screen.say(f"out of time after step {standing.step}; --resume goes on")
        return result_of(trainer, standing)
    network = trainer.learner.averaged()
    if trainer.fabric.is_global_zero:
        facts = {"step": standing.step, "psnr": standing.latest, "changes": trainer.changes}
        save_outcome(trainer.folder.last, network, trainer.recipe, **facts)
    trainer.screen.say(f"done: {trainer.folder.last}")
    return result_of(trainer, standing)


def interrupted(trainer: Trainer, standing: Standing, signal: int) -> TrainingResult:
    """End a run whose state is saved: the first process raises TrainingInterrupted, the others just leave."""
    if trainer.fabric.is_global_zero:
        raise TrainingInterrupted(signal, step=standing.step)
    return result_of(trainer, standing)


def result_of(trainer: Trainer, standing: Standing) -> TrainingResult:
    """Say how far the run is."""
    recipe = trainer.recipe
    return TrainingResult(
        recipe.run, standing.step, finished(standing, recipe), standing.best, standing.spent
    )


def train_step(trainer: Trainer, step: int, pair: Pair, moment: int) -> Symptom | None:
    """Do one step at a moment of the schedule and note what happened; where that is not finite, say what.

    A network whose loss or gradient is not finite stays as it was: all that learns, or the discriminator.
    """
    recipe, learner, fabric = trainer.recipe, trainer.learner, trainer.fabric
    begin = time.perf_counter()
    pair = Pair(*(side.to(fabric.device, non_blocking=True) for side in pair))
    losses, restored = accumulate(
        fabric,
        learner.model,
        pair,
        objective=objective_at(moment, recipe, trainer.losses),
        perturb=perturbation(step, recipe, moment=moment, fabric=fabric),
        parts=recipe.hardware.accumulate,
    )
    lr = learning_rate(moment, steps=recipe.steps, optimizer=recipe.optimizer)
    clip = recipe.optimizer.clip
    norm, finite = descend(fabric, learner.model, learner.optimizer, losses=losses, lr=lr, clip=clip)
    if not finite:
        return symptom_of(fabric, losses)
    balance_experts(learner.network, restored.routing, rate=recipe.balance_rate)
    learner.average.update(average_decay(step, decay=recipe.ema))
    opposed = opponent_step(learner.adversary, recipe, moment, restored.image, pair.target)
    if opposed.finite:
        losses |= opposed.losses
    trainer.meter.note(
        step,
        losses,
        norm=norm,
        routing=restored.routing,
        images=recipe.batch,
        seconds=time.perf_counter() - begin,
    )
    return None if opposed.finite else symptom_of(fabric, opposed.losses, restored=restored.image)
