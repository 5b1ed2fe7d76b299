"""The folder of a run: its files, changes of its recipe, and the state that it resumes from."""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml
from pydantic import ValidationError

from hfmoe.data import PhotoSet
from hfmoe.models.header import ModelFacts
from hfmoe.models.peer import Network, PeerNetwork, save_peer
from hfmoe.models.weights import save_weights
from hfmoe.runtime.files import atomic, remove_unfinished, write_atomically
from hfmoe.runtime.machine import code_version
from hfmoe.train.progress import Progress
from hfmoe.train.recipe import Recipe
from hfmoe.train.validation import scored_on_luma

FREE = frozenset({"run", "cache", "log", "faults", "notes", "checkpoint_minutes", "time_limit_minutes"})
"""Recipe fields that do not touch the weights and may differ silently when a run goes on."""

FIXED = frozenset({"preset", "network", "peer"})
"""Recipe fields that never change in a run: they say which tensors there are."""

SCORING = frozenset({"validation.folder", "validation.images", "validation.crop", "tasks"})
"""Recipe fields that a validation score depends on: scores before and after cannot be compared."""


class Change(NamedTuple):
    """A field of the recipe (or "photos", the identity of the photos) that differs from a step on."""

    step: int
    field: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.field} ({self.before!r} before, {self.after!r} now)"


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


def listed(changes: Iterable[Change]) -> str:
    """Describe changes."""
    return ", ".join(map(str, changes))


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


class RunError(ValueError):
    """A run folder that must not be written, or that holds nothing to go on from."""


@dataclass(frozen=True)
class Past:
    """What a run brings along: its checkpoint, if any, the changes of its recipe so far, and those of now."""

    state: dict[str, Any] | None = None
    changes: tuple[Change, ...] = ()
    news: tuple[Change, ...] = ()

    def progress(self, recipe: Recipe) -> Progress:
        """Return how far the run is; scores that the changes make incomparable are left out."""
        state = dict(self.state or {})
        if any(touches(change.field, SCORING) for change in self.news):
            state |= {"best": None, "latest": None}
        return Progress.of(state, steps=recipe.steps, limit=recipe.processor_seconds)


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
        trained = (
            {"discriminator.width"} if state and state.get("adversary") and recipe.is_adversarial() else set()
        )
        fixed = [item for item in news if touches(item.field, FIXED | trained)]
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


def save_run_weights(
    path: Path,
    network: Network,
    recipe: Recipe,
    *,
    step: int,
    psnr: float | None,
    tasks: Mapping[str, float] | None = None,
    changes: Sequence[Change] = (),
) -> None:
    """Write the weights with the recipe and its changes on the way, the step, the validation score and those
    of its tasks."""
    history = {"changes": [change._asdict() for change in changes]} if changes else {}
    measure = "psnr_y" if scored_on_luma(recipe) else "psnr"
    scores = {} if psnr is None else {f"validation {measure}": psnr}
    scores |= {f"validation {name} psnr": value for name, value in (tasks or {}).items()}
    facts = ModelFacts(
        name=recipe.name,
        task=recipe.task(),
        recipe={**recipe.resolved().as_data(), "stopped_at": step, **history},
        scores=scores,
        licence=recipe.licence,
        code=code_version(),
        date=date.today().isoformat(),
        notes=recipe.notes,
    )
    if isinstance(network, PeerNetwork):
        save_peer(path, network, facts)
    else:
        save_weights(path, network, facts)
