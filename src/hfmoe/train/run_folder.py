"""The folder of a run: its files, its recipe with the changes on the way, and the weights that it leaves."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from hfmoe.models.external import ExternalNetwork, Network, save_external
from hfmoe.models.header import ModelFacts
from hfmoe.models.weights import save_weights
from hfmoe.runtime.files import write_atomically
from hfmoe.runtime.machine import code_version
from hfmoe.train.recipe import Recipe
from hfmoe.train.validation import scored_on_luma


class Change(NamedTuple):
    """A field of the recipe (or "photos", the identity of the photos) that differs from a step on."""

    step: int
    field: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.field} ({self.before!r} before, {self.after!r} now)"


def listed(changes: Iterable[Change]) -> str:
    """Describe changes."""
    return ", ".join(map(str, changes))


class RunError(ValueError):
    """A run folder that must not be written, or that holds nothing to go on from."""


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

    def check_free(self) -> None:
        """Raise RunError where a run already is, so that nothing is written over."""
        if self.recipe.exists() or self.checkpoint.exists():
            raise RunError(f"{self.path} already holds a run: resume it, or choose another run folder")

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


def save_run_weights(
    path: Path,
    network: Network,
    recipe: Recipe,
    *,
    step: int,
    psnr: float | None,
    tasks: Mapping[str, float] | None = None,
    changes: Sequence[Change] = (),
    teachers: Mapping[str, Any] | None = None,
) -> None:
    """Write the weights with the recipe and its changes on the way, the step, the validation score and those
    of its tasks, and the teachers whose results they learned from."""
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
        teachers=dict(teachers or {}),
    )
    if isinstance(network, ExternalNetwork):
        save_external(path, network, facts)
    else:
        save_weights(path, network, facts)
