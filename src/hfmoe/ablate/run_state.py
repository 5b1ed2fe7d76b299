"""State of a run: what lies in its folder, and whether it is of these settings."""

import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from hfmoe.ablate.plan import Run
from hfmoe.ablate.study import Scoring, Study, StudyError
from hfmoe.image.files import list_images
from hfmoe.models.config import HFMoEConfig
from hfmoe.runtime.files import read_json
from hfmoe.train.checkpoints import CheckpointError, load_checkpoint
from hfmoe.train.recipe import Recipe
from hfmoe.train.resume import FREE, differences
from hfmoe.train.run_folder import RunFolder

State = Literal["new", "begun", "unscored", "done", "diverged", "failed", "changed"]


class RunFiles:
    """Names the files of a run that the study writes beside those of the training."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = folder / "settings.json"
        self.trained = folder / "trained.json"
        self.scores = folder / "scores.json"
        self.failure = folder / "failure.json"
        self.log = folder / "output.log"
        self.lock = folder / "lock"


@dataclass(frozen=True)
class RunState:
    """The state of a run; `changes` name the settings that differ from those it was begun with."""

    state: State
    changes: tuple[str, ...] = ()


def state_of(run: Run, evaluation: Scoring) -> RunState:
    """Return the state of a run by its folder.

    A run whose own settings changed is "changed"; one that was trained, but scored in another way, is
    "unscored". What does not touch the weights, such as how often something is logged, may change.
    """
    files = RunFiles(run.folder)
    before = read_json(files.settings)
    if before is None:
        return RunState("new")
    if changes := _changes(before, run.settings()):
        return RunState("changed", changes)
    failure = read_json(files.failure)
    if failure is not None:
        return RunState("diverged" if failure.get("status") == "diverged" else "failed")
    if read_json(files.trained) is None:
        return RunState("begun")
    scores = read_json(files.scores)
    if scores is None or scores.get("evaluation") != evaluation.model_dump(mode="json"):
        return RunState("unscored")
    images = scores.get("images", {})  # earlier versions did not keep them
    same = all(images.get(name, digest) == digest for name, digest in image_digests(evaluation).items())
    return RunState("done" if same else "unscored")


def image_digests(evaluation: Scoring) -> dict[str, str]:
    """Return a digest of the images of every set that is there, of their names and sizes."""
    places = {f"set {name}": folder for name, folder in evaluation.sets.items()}
    places |= {} if evaluation.targets is None else {"targets": evaluation.targets}
    digests = {}
    for name, folder in places.items():
        if folder.is_dir():
            facts = [(str(path.relative_to(folder)), path.stat().st_size) for path in list_images(folder)]
            digests[name] = sha256(json.dumps(facts).encode()).hexdigest()[:24]
    return digests


def runs_left(study: Study, runs: Sequence[Run], *, anew: bool) -> list[Run]:
    """Return the runs that are not done; diverged ones have ended.

    With `anew`, runs that changed, diverged or failed lose what they have written. Raises StudyError for a
    run whose settings changed, naming it and them.
    """
    states = {run.label: state_of(run, study.evaluate) for run in runs}
    for run in runs:
        found = states[run.label]
        if anew and found.state in ("changed", "diverged", "failed"):
            forget(run)
            states[run.label] = RunState("new")
        elif found.state == "changed":
            raise StudyError(
                f"{run.folder} was begun with other settings: {', '.join(found.changes)}; "
                "--anew makes such runs anew, another --run keeps them"
            )
    return [run for run in runs if states[run.label].state not in ("done", "diverged")]


def next_action(run: Run) -> str:
    """Return what a run that starts now does: begin, go on from its last saved step, or only be scored."""
    if read_json(RunFiles(run.folder).trained) is not None:
        return "trained, is scored"
    try:
        step = load_checkpoint(RunFolder(run.folder).checkpoint)["step"]
    except CheckpointError:
        return "begins"
    return f"goes on from step {step:,}"


def forget(run: Run) -> None:
    """Remove all that a run wrote, so that it begins anew; a folder that no study wrote is left alone."""
    if RunFiles(run.folder).settings.is_file():
        shutil.rmtree(run.folder)


def _changes(before: dict[str, Any], after: dict[str, Any]) -> tuple[str, ...]:
    """Return what differs between two settings of a run, but for what does not touch the weights."""
    before, after = _completed(before), json.loads(json.dumps(after))
    if after["recipe"]["peer"] is not None:  # versions before kept all of the preset for it
        before = {**before, "config": {name: before["config"].get(name) for name in after["config"]}}
    sides = [{**side.get("recipe", {}), "preset's": side.get("config", {})} for side in (before, after)]
    kept = [{name: side[name] for name in side if name not in FREE} for side in sides]
    changed = list(differences(*kept))
    named = {name for name, _, _ in changed}
    doubled = {f"preset's.{name.removeprefix('network.')}" for name in named if name.startswith("network.")}
    return tuple(f"{name} ({old!r} before, {new!r} now)" for name, old, new in changed if name not in doubled)


def _completed(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings in which fields that are younger than they have their defaults.

    What is no settings at all, or has fields that are unknown today, stays as it is and differs.
    """
    recipe, config = (
        value if isinstance(value, dict) else {} for value in map(settings.get, ("recipe", "config"))
    )
    told = {name: value for name, value in recipe.items() if name == "run" or name not in FREE}
    with suppress(ValidationError, TypeError):
        recipe = Recipe.model_validate(told).as_data()
    defaults = asdict(HFMoEConfig()) if config else {}
    return json.loads(json.dumps({"recipe": recipe, "config": {**defaults, **config}}))
