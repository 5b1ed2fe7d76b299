"""The folder of a run: what lies where, and who may write there."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import yaml

from hfmoe.data import PhotoSet
from hfmoe.runtime.files import write_atomically
from hfmoe.train.changes import FIXED, SCORING, Change, changes_between, listed, touches
from hfmoe.train.checkpoint import load_checkpoint
from hfmoe.train.recipe import Recipe
from hfmoe.train.standing import Standing


class RunError(ValueError):
    """A run folder that must not be written, or that holds nothing to go on from."""


@dataclass(frozen=True)
class Past:
    """What a run brings along: its checkpoint, if any, the changes of its recipe so far, and those of now."""

    state: dict[str, Any] | None = None
    changes: tuple[Change, ...] = ()
    news: tuple[Change, ...] = ()

    def standing(self) -> Standing:
        """How far the run is; scores that the changes make incomparable are left out."""
        if self.state is None:
            return Standing()
        known = {field.name: self.state[field.name] for field in fields(Standing) if field.name in self.state}
        if any(touches(change.field, SCORING) for change in self.news):
            known |= {"best": None, "latest": None}
        return Standing(**known)


class RunFolder:
    """Names the files of a run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recipe = path / "recipe.yaml"
        self.checkpoint = path / "last.ckpt"
        self.good = path / "good.ckpt"
        self.faults = path / "faults"
        self.changes = path / "changes.jsonl"
        self.metrics = path / "metrics.jsonl"
        self.board = path / "tensorboard"
        self.samples = path / "samples"
        self.best = path / "best.safetensors"
        self.last = path / "last.safetensors"

    def check_free(self) -> Past:
        """Raise RunError where a run already is, so that nothing is written over."""
        if self.recipe.exists() or self.checkpoint.exists():
            raise RunError(f"{self.path} already holds a run: resume it, or choose another run folder")
        return Past()

    def begin(self, recipe: Recipe) -> None:
        """Make the folder and write the recipe: from here on there is a run to resume."""
        self.check_free()
        self.path.mkdir(parents=True, exist_ok=True)
        self.record(recipe, ())

    def record(self, recipe: Recipe, changes: Sequence[Change]) -> None:
        """Write the recipe of a run, and how it was changed on the way."""
        put(self.recipe, yaml.safe_dump(recipe.resolved().as_data(), sort_keys=False))
        if changes:
            put(self.changes, "".join(json.dumps(change._asdict()) + "\n" for change in changes))

    def resume(self, recipe: Recipe, *, change: bool = False) -> Past:
        """Read the checkpoint of the same recipe, or with `change` of another that fits its weights.

        There is none where the run was stopped before its first one. Raises RunError that names the fields
        in which the recipes differ.
        """
        if not self.recipe.exists():
            raise RunError(f"{self.path} holds no run to resume")
        state = load_checkpoint(self.checkpoint) if self.checkpoint.exists() else None
        step = state["step"] if state else 0
        before = json.loads(state["recipe"]) if state else read_mapping(self.recipe)
        news = changes_between(before, recipe, step=step)
        opposed = {"discriminator.width"} if state and state.get("adversary") and recipe.opposes() else set()
        fixed = [item for item in news if touches(item.field, FIXED | opposed)]
        if fixed:
            raise RunError(
                f"{self.path} holds a network of another shape; it differs in {listed(fixed)}; "
                f"{self.recipe} is the recipe of its own"
            )
        if news and not change:
            raise RunError(
                f"{self.path} was trained with another recipe; it differs in {listed(news)}; "
                "give --change to go on with what is new"
            )
        if recipe.processor_seconds is None and recipe.steps < step:
            raise RunError(f"steps {recipe.steps} must be at least {step}, which {self.path} has done")
        earlier = json.loads(state.get("changes", "[]")) if state else []
        return Past(state, tuple(Change(**item) for item in earlier), news)


def put(path: Path, text: str) -> None:
    """Write a small file that is always whole."""
    write_atomically(path, text.encode())


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a YAML file of fields; RunError naming it for anything else."""
    try:
        values = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RunError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise RunError(f"{path} must hold the fields of a recipe, not {type(values).__name__}")
    return values


def with_photos(past: Past, photos: PhotoSet, *, run: Path, change: bool = False) -> Past:
    """Note it among the news where the photos are not those that the run has trained on.

    It would draw other crops: without `change` that is a RunError.
    """
    before = past.state.get("photos") if past.state else None
    if past.state is None or before is None or before == photos.identity:
        return past
    if not change:
        raise RunError(
            f"{run} was trained on other photos: names or sizes differ from the {len(photos.photos)} now; "
            "give --change to go on with these"
        )
    news = Change(past.state["step"], "photos", before, photos.identity)
    return replace(past, news=(*past.news, news))
