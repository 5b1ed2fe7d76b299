"""Recovery from losses, gradients or states that are not finite: skip the step, roll back, or stop."""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from einops import rearrange
from safetensors.torch import save as as_safetensors
from torch import Tensor

from hfmoe.data import Pair, PhotoSet, draw, draw_samples
from hfmoe.runtime.files import write_atomically
from hfmoe.train.checkpoints import roll_back, save
from hfmoe.train.diagnosis import Cause, NonFinite, diagnose
from hfmoe.train.discriminator import discriminator_gradients
from hfmoe.train.fields import Faults
from hfmoe.train.hardware import from_first, of_all
from hfmoe.train.monitor import NonFiniteError
from hfmoe.train.objective import adversarial_term
from hfmoe.train.progress import Progress
from hfmoe.train.recipe import Recipe
from hfmoe.train.schedule import mixture_at, patch_size
from hfmoe.train.screen import not_finite
from hfmoe.train.step import generator_gradients
from hfmoe.train.trainer import Trainer, log_event

SKIPPED, RETURNED, STOPPED = "skipped", "rolled back", "stopped"


def recover(
    trainer: Trainer, photos: PhotoSet, progress: Progress, pair: Pair, fault: NonFinite, *, at: Progress
) -> Progress:
    """Recover from a fault in the step just made, which changed nothing, once its cause is known.

    `at` is the progress at which the step was made. The first process writes the batch and a record. Raises
    NonFiniteError when the recipe's budgets are used up.
    """
    recipe, learner, fabric = trainer.recipe, trainer.learner, trainer.fabric
    pair = pair.map(lambda side: side.to(fabric.device))
    parts = recipe.hardware.accumulate

    def again() -> None:
        term = adversarial_term(recipe.loss, at.share)
        if fault.restored is not None and learner.discriminator and term:
            reference = term.reference(pair)
            discriminator_gradients(
                learner.discriminator, fault.restored, reference, form=term.form, parts=parts
            )
            return
        generator_gradients(at, recipe, learner, trainer.losses, pair, fabric=fabric, parts=parts)

    cause = diagnose(fabric, learner, pair, again=again, compiled=recipe.hardware.compile)
    whole = pair.map(partial(whole_batch, trainer))
    batch = None
    if fabric.is_global_zero and recipe.faults.saved_batches:
        samples = json.dumps(samples_of(photos, recipe, at))
        batch = save_batch(trainer, whole, step=progress.step, samples=samples)
    return resolve(trainer, progress, cause, fault.terms, batch=batch)


def save_or_roll_back(trainer: Trainer, progress: Progress, *, last: bool = False) -> Progress:
    """Save the state; where it is damaged, return to the good one and save that."""
    damage = save(trainer, progress, last=last)
    return resolve(trainer, progress, Cause(damage, lasting=True), (), last=last) if damage else progress


def resolve(
    trainer: Trainer,
    progress: Progress,
    cause: Cause,
    terms: Sequence[str],
    *,
    batch: str | None = None,
    last: bool = False,
) -> Progress:
    """Leave out the step, return to the good state, or end, and tell which.

    After a return the steps go on counting, so that other batches follow than those that led to the fault.
    """
    action, after = decide(progress, trainer.recipe.faults, lasting=cause.lasting)
    lost = action == RETURNED and not from_first(trainer.fabric, trainer.folder.good.exists)
    action, progress = (STOPPED, progress) if lost else (action, after)
    record = {
        "kind": "fault",
        "step": progress.step,
        "what": cause.what,
        "module": cause.module,
        "term": ", ".join(terms) or None,
        "action": action,
        "batch": batch,
    }
    if action == RETURNED:
        record["to"] = roll_back(trainer)
    log_event(trainer, record)
    if action == STOPPED:
        raise NonFiniteError(ending(trainer, record)) if trainer.fabric.is_global_zero else SystemExit(1)
    if action == RETURNED:
        save(trainer, progress, last=last)
    return progress


def decide(progress: Progress, budget: Faults, *, lasting: bool) -> tuple[str, Progress]:
    """Say what a fault in the step just made leads to, and the progress after it."""
    recent = tuple(step for step in progress.skipped if step > progress.step - budget.window)
    recent = (*recent, progress.step)
    if len(recent) <= budget.skips and not lasting:
        return SKIPPED, replace(progress, skipped=recent)
    if progress.rollbacks < budget.rollbacks:
        return RETURNED, replace(progress, skipped=(), rollbacks=progress.rollbacks + 1)
    return STOPPED, progress


def ending(trainer: Trainer, record: dict[str, object]) -> str:
    """Say why a run cannot go on, and what is left of it."""
    term = f"{not_finite(str(record['term']))}; " if record["term"] else ""
    batch = f"; its batch is {trainer.folder.path / str(record['batch'])}" if record["batch"] else ""
    left = "no good state was kept to return to"
    if trainer.folder.good.exists():
        left = f"the budget of faults is used up, {trainer.folder.checkpoint} holds the last good state"
    return f"step {record['step']}: {term}{record['what']}{batch}; {left}"


def whole_batch(trainer: Trainer, share: Tensor) -> Tensor:
    """Put the processes' shares of a batch together, in the order in which they were drawn."""
    return rearrange(of_all(trainer.fabric, share.cpu()), "p b c h w -> (b p) c h w")


def samples_of(photos: PhotoSet, recipe: Recipe, at: Progress) -> list[dict[str, Any]]:
    """List the samples of a step's batch: photo, corner and turn, and what was done to it for a task."""
    patch = patch_size(at, sizes=recipe.patch)
    place = {"seed": recipe.seed, "step": at.step, "size": recipe.batch, "patch": patch}
    mixture = mixture_at(recipe.tasks, at.share, softness=recipe.softness)
    if mixture is None:
        crops = draw(photos, **place)
        return [{**crop._asdict(), "photo": photos.names[crop.photo]} for crop in crops]
    samples = draw_samples(photos, mixture, **place)
    return [sample.as_data(photos.names[sample.crop.photo]) for sample in samples]


def save_batch(trainer: Trainer, pair: Pair, *, step: int, samples: str) -> str | None:
    """Write a batch into the run's folder, the newest few of them; None where the disk takes none."""
    folder = trainer.folder.faults
    path = folder / f"step-{step:06d}.safetensors"
    facts = {"step": str(step), "recipe": trainer.recipe.digest(), "samples": samples}
    tensors = {name: side.detach().cpu().contiguous() for name, side in pair.images().items()}
    try:
        folder.mkdir(exist_ok=True)
        write_atomically(path, as_safetensors(tensors, metadata=facts))
        written = sorted(folder.glob("step-*.safetensors"), key=lambda path: path.stat().st_mtime_ns)
        for old in written[: -trainer.recipe.faults.saved_batches]:
            old.unlink()
    except OSError as error:
        trainer.screen.say(f"the batch of step {step} could not be written: {error}")
        return None
    return path.relative_to(trainer.folder.path).as_posix()
