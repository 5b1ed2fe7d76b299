"""Resuming a run: its checkpoint, and what has changed of its recipe and photos since."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hfmoe.data import PhotoSet
from hfmoe.train.checkpoints import load_checkpoint
from hfmoe.train.progress import Progress
from hfmoe.train.recipe import Recipe
from hfmoe.train.run_folder import Change, RunError, RunFolder, listed, read_mapping

FREE = frozenset({"run", "cache", "log", "faults", "notes", "checkpoint_minutes", "time_limit_minutes"})
"""Recipe fields that do not touch the weights and may differ silently when a run goes on."""

FIXED = frozenset({"preset", "network", "peer"})
"""Recipe fields that never change in a run: they say which tensors there are."""

SCORING = frozenset({"validation.folder", "validation.images", "validation.crop", "tasks"})
"""Recipe fields that a validation score depends on: scores before and after cannot be compared."""


@dataclass(frozen=True)
class Past:
    """Past of a run: its checkpoint, if any, the changes of its recipe so far, and those of now."""

    state: dict[str, Any] | None = None
    changes: tuple[Change, ...] = ()
    news: tuple[Change, ...] = ()

    def progress(self, recipe: Recipe) -> Progress:
        """Return how far the run is; scores that the changes make incomparable are left out."""
        state = dict(self.state or {})
        if any(touches(change.field, SCORING) for change in self.news):
            state |= {"best": None, "latest": None}
        return Progress.of(state, steps=recipe.steps, limit=recipe.processor_seconds)


def new_run(folder: RunFolder) -> Past:
    """Return that there is nothing to resume. Raises RunError where a run already is."""
    folder.check_free()
    return Past()


def read_past(folder: RunFolder, recipe: Recipe, *, change: bool = False) -> Past:
    """Read the checkpoint of the same recipe, or with `change` of another that fits its weights.

    There is none where the run was stopped before its first one. Raises RunError that names the fields
    in which the recipes differ.
    """
    if not folder.recipe.exists():
        raise RunError(f"{folder.path} holds no run to resume")
    state = load_checkpoint(folder.checkpoint) if folder.checkpoint.exists() else None
    step = state["step"] if state else 0
    before = json.loads(state["recipe"]) if state else read_mapping(folder.recipe)
    news = changes_between(before, recipe, step=step)
    trained = (
        {"discriminator.width"} if state and state.get("adversary") and recipe.is_adversarial() else set()
    )
    fixed = [item for item in news if touches(item.field, FIXED | trained)]
    if fixed:
        raise RunError(
            f"{folder.path} holds a network of another shape; it differs in {listed(fixed)}; "
            f"{folder.recipe} is the recipe of its own"
        )
    if news and not change:
        raise RunError(
            f"{folder.path} was trained with another recipe; it differs in {listed(news)}; "
            "give --change to go on with what is new"
        )
    if recipe.processor_seconds is None and recipe.steps < step:
        raise RunError(f"steps {recipe.steps} must be at least {step}, which {folder.path} has done")
    earlier = json.loads(state.get("changes", "[]")) if state else []
    return Past(state, tuple(Change(**item) for item in earlier), news)


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


def changes_between(before: Mapping[str, Any], recipe: Recipe, *, step: int) -> tuple[Change, ...]:
    """List the fields in which a run's recipe and the present one differ, those apart that are free.

    Fields that the older one lacks count as having had their defaults. Preset and network do not differ where
    they are other words for the same network.
    """
    after = recipe.resolved().as_data()
    try:
        earlier = Recipe.model_validate(before).resolved()
        before = earlier.as_data()
        if earlier.config() == recipe.config():
            before |= {name: after[name] for name in ("preset", "network")}
    except (ValidationError, TypeError):
        before = dict(before)
        if before.get("preset") == after["preset"]:
            before["network"] = {**after["network"], **(before.get("network") or {})}
    sides = ({name: side[name] for name in side if name not in FREE} for side in (before, after))
    return tuple(Change(step, *difference) for difference in differences(*sides))


def differences(
    before: Mapping[str, Any], after: Mapping[str, Any], *, inside: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Name the values that differ in nested mappings by dotted paths, with both values."""
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from differences(old, new, inside=f"{inside}{name}.")
        elif old != new:
            yield f"{inside}{name}", old, new


def touches(field: str, names: Iterable[str]) -> bool:
    """Return whether a dotted field is one of those names or lies inside one."""
    return any(field == name or field.startswith(f"{name}.") for name in names)
