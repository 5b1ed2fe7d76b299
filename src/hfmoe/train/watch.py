"""A run's parts, and what the loop does beside stepping: look, judge, save."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from lightning_fabric import Fabric
from torch import Tensor

from hfmoe.image.files import ImageError
from hfmoe.models.network import HFMoE
from hfmoe.train.changes import Change, listed
from hfmoe.train.checkpoint import save_checkpoint
from hfmoe.train.curriculum import degrades, described, phase_at, phase_begins, task_facts
from hfmoe.train.examples import Example
from hfmoe.train.journal import Journal
from hfmoe.train.learner import Learner
from hfmoe.train.meter import Meter
from hfmoe.train.objective import Loss
from hfmoe.train.outcome import save_outcome
from hfmoe.train.recipe import Recipe
from hfmoe.train.rundir import RunFolder
from hfmoe.train.samples import keep_samples, samples_due
from hfmoe.train.schedule import learning_rate, patch_size, router_temperature
from hfmoe.train.screen import Screen
from hfmoe.train.standing import Standing
from hfmoe.train.validate import side_by_side, validate


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
    photos: str
    changes: tuple[Change, ...] = ()


def look(trainer: Trainer, step: int) -> None:
    """Write and show what happened since the last look; raises NonFiniteError."""
    recipe = trainer.recipe
    record = {
        "kind": "train",
        "step": step,
        **trainer.meter.read(),
        "lr": learning_rate(step - 1, steps=recipe.steps, optimizer=recipe.optimizer),
        "patch": patch_size(step - 1, steps=recipe.steps, sizes=recipe.patch),
        "temperature": router_temperature(step - 1, steps=recipe.steps, perturb=recipe.perturb),
    }
    if trainer.journal is not None:
        trainer.journal.write(record)
        trainer.screen.show(record)
        if degrades(recipe.tasks):
            facts = task_facts(recipe.tasks, (step - 1) / recipe.steps)
            trainer.journal.write({"kind": "tasks", "step": step, **facts})


def announce_tasks(trainer: Trainer, step: int, *, resumed: bool) -> None:
    """Say which tasks the next steps draw from where that changes, and write it unless it was written."""
    recipe = trainer.recipe
    begins = phase_begins(recipe.tasks, step, steps=recipe.steps)
    if trainer.journal is None or not (begins or resumed) or not degrades(recipe.tasks):
        return
    facts = task_facts(recipe.tasks, step / recipe.steps)
    moving = phase_at(recipe.tasks, step / recipe.steps).moving
    changing = f"; changing from here: {', '.join(moving)}" if moving else ""
    trainer.screen.say(f"from step {step + 1}: {described(facts)}{changing}")
    if begins:
        trainer.journal.write({"kind": "tasks", "step": step + 1, **facts, "changing": list(moving)})


def judge(trainer: Trainer, standing: Standing) -> Standing:
    """Score the averaged weights in the first process and keep them if they are the best so far."""
    trainer.meter.check()
    if not trainer.examples:
        return standing
    network = trainer.learner.averaged()
    psnr = score(trainer, standing, network) if trainer.journal is not None else 0.0
    psnr = trainer.fabric.broadcast(psnr)
    better = standing.best is None or psnr > standing.best
    return replace(standing, best=psnr if better else standing.best, latest=psnr)


def score(trainer: Trainer, standing: Standing, network: HFMoE) -> float:
    """Score the averaged weights, write them if they are the best so far, and show a few pictures."""
    recipe, step, journal = trainer.recipe, standing.step, trainer.journal
    assert journal is not None
    result = validate(network, trainer.examples, keep=recipe.log.samples)
    best = result.psnr if standing.best is None else max(standing.best, result.psnr)
    record = {"kind": "validation", "step": step, **result.facts(), "best": best}
    journal.write(record)
    trainer.screen.show(record)
    if standing.best is None or result.psnr > standing.best:
        facts = {"psnr": result.psnr, "tasks": result.tasks, "changes": trainer.changes}
        save_outcome(trainer.folder.best, network, recipe, step=step, **facts)
    if samples_due(step, recipe):
        show_samples(trainer, journal, result.restored, step=step)
    return result.psnr


def show_samples(trainer: Trainer, journal: Journal, restored: Sequence[Tensor], *, step: int) -> None:
    """Put pictures into TensorBoard and the run's folder; a folder that takes none does not end the run."""
    for example, image in zip(trainer.examples, restored, strict=False):
        journal.picture(example.name, side_by_side(example, image), step=step)
    try:
        scale = trainer.recipe.config().scale
        keep_samples(trainer.folder.samples, trainer.examples, restored, step=step, scale=scale)
    except (ImageError, OSError) as error:
        trainer.screen.say(f"no sample pictures of step {step}: {error}")


def save(trainer: Trainer, standing: Standing) -> None:
    """Write the checkpoint of a state that is known to be finite."""
    trainer.meter.check()
    learned = trainer.learner.state()
    if trainer.fabric.is_global_zero:
        recipe = json.dumps(trainer.recipe.as_data())
        changes = json.dumps([change._asdict() for change in trainer.changes])
        facts = {**asdict(standing), "recipe": recipe, "changes": changes, "photos": trainer.photos}
        save_checkpoint(trainer.folder.checkpoint, {**facts, **learned})


def announce(trainer: Trainer, standing: Standing, news: Sequence[Change]) -> None:
    """Keep what changes about a run as it goes on: in its checkpoint, its folder and its log."""
    save(trainer, standing)
    if trainer.journal is None:
        return
    trainer.folder.record(trainer.recipe, trainer.changes)
    fields = {change.field: {"before": change.before, "after": change.after} for change in news}
    trainer.journal.write({"kind": "change", "step": standing.step, "fields": fields})
    trainer.screen.say(f"changed from step {standing.step} on: {listed(news)}")
