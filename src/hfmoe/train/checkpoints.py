"""Checkpoints of a run: the last state, and a good one to roll back to."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from hfmoe.train.diagnosis import damaged
from hfmoe.train.hardware import from_first
from hfmoe.train.progress import Standing
from hfmoe.train.run_folder import (
    Change,
    CheckpointError,
    listed,
    load_checkpoint,
    mark_good,
    save_checkpoint,
)
from hfmoe.train.trainer import Trainer, tell


def save(trainer: Trainer, standing: Standing, *, last: bool = False) -> str | None:
    """Write the checkpoint, or say what is not finite in the state, which is then not written.

    A checkpoint that cannot be written is told, and the one before stays; where nothing follows it (`last`),
    that is a CheckpointError.
    """
    learned = trainer.learner.state()
    damage = trainer.fabric.broadcast(damaged(trainer.learner, learned))
    if damage:
        return damage
    if trainer.fabric.is_global_zero:
        recipe = json.dumps(trainer.recipe.resolved().as_data())
        changes = json.dumps([change._asdict() for change in trainer.changes])
        facts = {
            **asdict(standing),
            "recipe": recipe,
            "changes": changes,
            "photos": trainer.photos,
            "alarm": trainer.alarm.state(),
        }
        try:
            save_checkpoint(trainer.folder.checkpoint, {**facts, **learned})
            if not standing.step % trainer.recipe.faults.keep_every:
                mark_good(trainer.folder.checkpoint, trainer.folder.good)
        except (OSError, CheckpointError) as error:
            problem = f"the state after step {standing.step} could not be saved: {error}"
            tell(trainer, {"kind": "fault", "step": standing.step, "what": problem, "action": "went on"})
            if last:
                earlier = "an earlier one stays" if trainer.folder.checkpoint.exists() else "there is none"
                raise CheckpointError(f"{problem}; {earlier}") from error
    return None


def begin_keeping(trainer: Trainer, standing: Standing) -> None:
    """Keep a state to return to from the first step of a session on.

    Whether there is one, the first process alone can tell: the folder may be on its machine only.
    """
    kept = from_first(trainer.fabric, trainer.folder.checkpoint.exists)
    if standing.step == 0 and not kept:
        save(trainer, standing)
    if not trainer.fabric.is_global_zero or not trainer.folder.checkpoint.exists():
        return
    if not trainer.folder.good.exists() or not standing.step % trainer.recipe.faults.keep_every:
        mark_good(trainer.folder.checkpoint, trainer.folder.good)


def return_to_good(trainer: Trainer) -> int:
    """Put the state that was kept back in place of all that learns; give its step."""
    state = from_first(trainer.fabric, lambda: load_checkpoint(trainer.folder.good))
    trainer.learner.restore(state)
    return state["step"]


def announce(trainer: Trainer, standing: Standing, news: Sequence[Change]) -> None:
    """Keep what changes about a run as it goes on: in its checkpoint, its folder and its log."""
    save(trainer, standing)
    if trainer.journal is None:
        return
    mark_good(trainer.folder.checkpoint, trainer.folder.good)
    trainer.folder.record(trainer.recipe, trainer.changes)
    fields = {change.field: {"before": change.before, "after": change.after} for change in news}
    trainer.journal.write({"kind": "change", "step": standing.step, "fields": fields})
    trainer.screen.say(f"changed from step {standing.step} on: {listed(news)}")
