"""Checkpoints of a run: the last state, and a good one to roll back to, each file always whole."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from hfmoe.runtime.files import atomic, remove_unfinished
from hfmoe.train.diagnosis import damaged
from hfmoe.train.hardware import from_first
from hfmoe.train.progress import Progress
from hfmoe.train.run_folder import Change, listed
from hfmoe.train.trainer import Trainer, log_event


class CheckpointError(ValueError):
    """A checkpoint that cannot be read or written."""


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write tensors and plain values; until the new file is safely on disk the previous one stays.

    Raises CheckpointError where it cannot be written, for a full disk such as any other reason.
    """
    try:
        _write(path, state)
    except (OSError, RuntimeError) as error:
        cause = error if isinstance(error, OSError) else error.__context__ or error
        reason = (isinstance(cause, OSError) and cause.strerror) or str(cause).strip().partition("\n")[0]
        raise CheckpointError(f"{path} could not be written: {reason}") from error


def _write(path: Path, state: Mapping[str, Any]) -> None:
    remove_unfinished([path])  # of a process that was killed as it saved
    with atomic(path) as unfinished, unfinished.open("wb") as file:
        torch.save(dict(state), file)


def mark_good(path: Path, good: Path) -> None:
    """Keep a checkpoint under a second name, which stays when the first is written anew."""
    if good.exists() and good.samefile(path):
        return
    unfinished = good.with_suffix(".good")
    unfinished.unlink(missing_ok=True)
    try:
        os.link(path, unfinished)
    except OSError:
        shutil.copyfile(path, unfinished)
    unfinished.replace(good)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what save_checkpoint wrote; nothing but tensors and plain values is accepted."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise CheckpointError(f"{path} is not a readable checkpoint: {reason}") from error


def save(trainer: Trainer, progress: Progress, *, last: bool = False) -> str | None:
    """Write the checkpoint, or return what is not finite in the state, which is then not written.

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
            **progress.state(),
            "recipe": recipe,
            "changes": changes,
            "photos": trainer.photos,
            "alarm": trainer.alarm.state(),
        }
        try:
            save_checkpoint(trainer.folder.checkpoint, {**facts, **learned})
            if not progress.step % trainer.recipe.faults.keep_every:
                mark_good(trainer.folder.checkpoint, trainer.folder.good)
        except (OSError, CheckpointError) as error:
            problem = f"the state after step {progress.step} could not be saved: {error}"
            log_event(trainer, {"kind": "fault", "step": progress.step, "what": problem, "action": "went on"})
            if last:
                earlier = "an earlier one stays" if trainer.folder.checkpoint.exists() else "there is none"
                raise CheckpointError(f"{problem}; {earlier}") from error
    return None


def save_first(trainer: Trainer, progress: Progress) -> None:
    """Save a state to roll back to from the first step of a session on.

    Whether there is one, the first process alone can tell: the folder may be on its machine only.
    """
    kept = from_first(trainer.fabric, trainer.folder.checkpoint.exists)
    if progress.step == 0 and not kept:
        save(trainer, progress)
    if not trainer.fabric.is_global_zero or not trainer.folder.checkpoint.exists():
        return
    if not trainer.folder.good.exists() or not progress.step % trainer.recipe.faults.keep_every:
        mark_good(trainer.folder.checkpoint, trainer.folder.good)


def roll_back(trainer: Trainer) -> int:
    """Restore the good state of all that learns; return its step."""
    state = from_first(trainer.fabric, lambda: load_checkpoint(trainer.folder.good))
    trainer.learner.restore(state)
    return state["step"]


def record_changes(trainer: Trainer, progress: Progress, news: Sequence[Change]) -> None:
    """Record what changes about a resumed run: in its checkpoint, its folder and its log."""
    save(trainer, progress)
    if trainer.journal is None:
        return
    mark_good(trainer.folder.checkpoint, trainer.folder.good)
    trainer.folder.record(trainer.recipe, trainer.changes)
    fields = {change.field: {"before": change.before, "after": change.after} for change in news}
    trainer.journal.write({"kind": "change", "step": progress.step, "fields": fields})
    trainer.screen.say(f"changed from step {progress.step} on: {listed(news)}")
