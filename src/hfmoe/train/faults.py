"""What follows a loss, a gradient or a state that is not finite: a step left out, a return, or the end."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from einops import rearrange
from safetensors.torch import save as as_safetensors
from torch import Tensor

from hfmoe.data import Pair, PhotoSet, draw, draw_samples
from hfmoe.runtime.files import write_atomically
from hfmoe.train.checkpoints import return_to_good, save
from hfmoe.train.diagnosis import Cause, Symptom, diagnose
from hfmoe.train.discriminator import tell_apart
from hfmoe.train.fields import Faults
from hfmoe.train.hardware import from_first, of_all
from hfmoe.train.monitor import NonFiniteError
from hfmoe.train.objective import objective_at
from hfmoe.train.progress import Standing
from hfmoe.train.recipe import Recipe
from hfmoe.train.schedule import mixture_at, patch_size
from hfmoe.train.screen import not_finite
from hfmoe.train.step import accumulate, perturbation
from hfmoe.train.terms import opposing_form
from hfmoe.train.trainer import Trainer, tell

SKIPPED, RETURNED, STOPPED = "skipped", "rolled back", "stopped"


def survive(
    trainer: Trainer, photos: PhotoSet, standing: Standing, pair: Pair, symptom: Symptom, *, moment: int
) -> Standing:
    """Name the cause of a fault in the step just made, which changed nothing, and do what is left to do.

    `moment` is the one of the schedule at which the step was made.
    The first process writes the batch and a record. Raises NonFiniteError when the recipe's budgets are used
    up.
    """
    recipe, learner, fabric = trainer.recipe, trainer.learner, trainer.fabric
    step = standing.step - 1
    pair = Pair(*(side.to(fabric.device) for side in pair))

    def again() -> None:
        form = opposing_form(recipe.loss, moment / recipe.steps)
        if symptom.restored is not None and learner.adversary and form:
            parts = recipe.hardware.accumulate
            tell_apart(learner.adversary, symptom.restored, pair.target, form=form, parts=parts)
            return
        accumulate(
            fabric,
            learner.model,
            pair,
            objective=objective_at(moment, recipe, trainer.losses),
            perturb=perturbation(step, recipe, moment=moment, fabric=fabric),
            parts=recipe.hardware.accumulate,
        )

    cause = diagnose(fabric, learner, pair, again=again, compiled=recipe.hardware.compile)
    whole = Pair(*(whole_batch(trainer, side) for side in pair))
    batch = None
    if fabric.is_global_zero and recipe.faults.saved_batches:
        samples = json.dumps(samples_of(photos, recipe, step=step, moment=moment))
        batch = keep_batch(trainer, whole, step=standing.step, samples=samples)
    return resolve(trainer, standing, cause, symptom.terms, batch=batch)


def keep(trainer: Trainer, standing: Standing, *, last: bool = False) -> Standing:
    """Save the state; where it is damaged, return to the good one and save that."""
    damage = save(trainer, standing, last=last)
    return resolve(trainer, standing, Cause(damage, lasting=True), (), last=last) if damage else standing


def resolve(
    trainer: Trainer,
    standing: Standing,
    cause: Cause,
    terms: Sequence[str],
    *,
    batch: str | None = None,
    last: bool = False,
) -> Standing:
    """Leave out the step, return to the good state, or end, and tell which.

    After a return the steps go on counting, so that other batches follow than those that led to the fault.
    """
    action, after = decided(standing, trainer.recipe.faults, lasting=cause.lasting)
    lost = action == RETURNED and not from_first(trainer.fabric, trainer.folder.good.exists)
    action, standing = (STOPPED, standing) if lost else (action, after)
    record = {
        "kind": "fault",
        "step": standing.step,
        "what": cause.what,
        "module": cause.module,
        "term": ", ".join(terms) or None,
        "action": action,
        "batch": batch,
    }
    if action == RETURNED:
        record["to"] = return_to_good(trainer)
    tell(trainer, record)
    if action == STOPPED:
        raise NonFiniteError(ending(trainer, record)) if trainer.fabric.is_global_zero else SystemExit(1)
    if action == RETURNED:
        save(trainer, standing, last=last)
    return standing


def decided(standing: Standing, budget: Faults, *, lasting: bool) -> tuple[str, Standing]:
    """Say what a fault in the step just made leads to, and how the run then stands."""
    recent = tuple(step for step in standing.skipped if step > standing.step - budget.window)
    recent = (*recent, standing.step)
    if len(recent) <= budget.skips and not lasting:
        return SKIPPED, replace(standing, skipped=recent)
    if standing.rollbacks < budget.rollbacks:
        return RETURNED, replace(standing, skipped=(), rollbacks=standing.rollbacks + 1)
    return STOPPED, standing


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


def samples_of(photos: PhotoSet, recipe: Recipe, *, step: int, moment: int) -> list[dict[str, Any]]:
    """List the samples of a step's batch: photo, corner and turn, and what was done to it for a task."""
    patch = patch_size(moment, steps=recipe.steps, sizes=recipe.patch)
    place = {"seed": recipe.seed, "step": step, "size": recipe.batch, "patch": patch}
    mixture = mixture_at(recipe.tasks, moment / recipe.steps, softness=recipe.softness)
    if mixture is None:
        crops = draw(photos, **place)
        return [{**crop._asdict(), "photo": photos.names[crop.photo]} for crop in crops]
    samples = draw_samples(photos, mixture, **place)
    return [sample.as_data(photos.names[sample.crop.photo]) for sample in samples]


def keep_batch(trainer: Trainer, pair: Pair, *, step: int, samples: str) -> str | None:
    """Write a batch into the run's folder, the newest few of them; None where the disk takes none."""
    folder = trainer.folder.faults
    path = folder / f"step-{step:06d}.safetensors"
    facts = {"step": str(step), "recipe": trainer.recipe.digest(), "samples": samples}
    tensors = {name: side.detach().cpu().contiguous() for name, side in pair._asdict().items()}
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
