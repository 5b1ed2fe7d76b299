"""The folder of a run: what lies where, and who may write there."""

import json
from pathlib import Path
from typing import Any

import yaml

from hfmoe.data import PhotoSet
from hfmoe.train.checkpoint import load_checkpoint
from hfmoe.train.recipe import Recipe

FREE_ON_RESUME = frozenset({"run", "cache", "log", "notes", "checkpoint_minutes", "time_limit_minutes"})
"""Recipe fields that do not touch the weights and may differ when a run goes on."""


class RunError(ValueError):
    """A run folder that must not be written, or that holds nothing to go on from."""


class RunFolder:
    """Names the files of a run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recipe = path / "recipe.yaml"
        self.checkpoint = path / "last.ckpt"
        self.metrics = path / "metrics.jsonl"
        self.board = path / "tensorboard"
        self.samples = path / "samples"
        self.best = path / "best.safetensors"
        self.last = path / "last.safetensors"

    def check_free(self) -> None:
        """Raise RunError where a run already is, so that nothing is written over."""
        if self.recipe.exists() or self.checkpoint.exists():
            raise RunError(f"{self.path} already holds a run: resume it, or choose another run folder")

    def begin(self, recipe: Recipe) -> None:
        """Make the folder and write the recipe: from here on there is a run to resume."""
        self.check_free()
        self.path.mkdir(parents=True, exist_ok=True)
        part = self.recipe.with_suffix(".part")
        part.write_text(yaml.safe_dump(recipe.as_data(), sort_keys=False), encoding="utf-8")
        part.replace(self.recipe)

    def resume(self, recipe: Recipe) -> dict[str, Any] | None:
        """Read the checkpoint of the same recipe; None where the run was stopped before its first one.

        Raises RunError that names the fields in which the recipes differ.
        """
        if not self.recipe.exists():
            raise RunError(f"{self.path} holds no run to resume")
        state = load_checkpoint(self.checkpoint) if self.checkpoint.exists() else None
        before = json.loads(state["recipe"]) if state else read_mapping(self.recipe)
        changed = differences(before, recipe.as_data())
        if changed:
            raise RunError(f"{self.path} was trained with another recipe; it differs in {', '.join(changed)}")
        return state


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a YAML file of fields; RunError naming it for anything else."""
    try:
        values = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RunError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise RunError(f"{path} must hold the fields of a recipe, not {type(values).__name__}")
    return values


def check_photos(state: dict[str, Any], photos: PhotoSet, *, run: Path) -> None:
    """RunError where the photos are not those that the run has trained on: it would draw other crops."""
    before = state.get("photos")
    if before is not None and before != photos.identity:
        now = len(photos.photos)
        raise RunError(f"{run} was trained on other photos: names or sizes differ from the {now} now")


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Name the fields that differ, with both values, leaving out those that do not touch the weights."""
    names = sorted((before.keys() | after.keys()) - FREE_ON_RESUME)
    result = []
    for name in names:
        old, new = before.get(name), after.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            result += [f"{name}.{inner}" for inner in differences(old, new)]
        elif old != new:
            result.append(f"{name} ({old!r} before, {new!r} now)")
    return result
