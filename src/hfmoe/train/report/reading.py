"""What a run's folder says, read without failing where a file is missing, half written or damaged."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hfmoe.models.config import HFMoEConfig
from hfmoe.models.header import ModelFacts, WeightsError
from hfmoe.models.weights import read_header
from hfmoe.train.loading import RecipeError, make_recipe
from hfmoe.train.run_folder import RunError, RunFolder, read_mapping
from hfmoe.train.run_log import read_records
from hfmoe.train.sample_grids import sample_steps

KNOWN_KINDS = frozenset({"train", "validation", "session", "tasks"})


@dataclass(frozen=True)
class RunData:
    """A run as its folder holds it.

    Attributes:
        recipe: its fields as they stand in recipe.yaml, {} where they cannot be read.
        config: the network's configuration, None where this version cannot make it of the recipe.
        facts: what the weights file says, None where there is none.
        records: the readable records, in the order written.
        samples: (step, folder) of the sample pictures, in the order of steps.
        notes: sentences about what could not be read.
    """

    path: Path
    recipe: Mapping[str, Any]
    config: HFMoEConfig | None
    facts: ModelFacts | None
    records: tuple[dict[str, Any], ...]
    samples: tuple[tuple[int, Path], ...]
    notes: tuple[str, ...]

    def of_kind(self, *kinds: str) -> list[dict[str, Any]]:
        """Give the records of some kinds."""
        return [record for record in self.records if record.get("kind") in kinds]

    @cached_property
    def training(self) -> list[dict[str, Any]]:
        """The records of training steps."""
        return self.of_kind("train")

    @property
    def events(self) -> list[dict[str, Any]]:
        """Sessions, and records of every kind without a section of its own, such as changes and faults."""
        known = KNOWN_KINDS - {"session"}
        return [record for record in self.records if record.get("kind") not in known]

    @property
    def name(self) -> str:
        """The model's name, or the folder's."""
        return str(self.recipe.get("name") or self.path.resolve().name)

    @property
    def step(self) -> int:
        """Steps done, as far as the records say."""
        return max((record["step"] for record in self.of_kind("train", "validation")), default=0)

    @property
    def steps(self) -> int | None:
        """Steps of the whole run, None where the recipe does not say, or ends it by processor time."""
        steps = self.recipe.get("steps") if self.recipe.get("processor_seconds") is None else None
        return steps if isinstance(steps, int) and steps > 0 else None


def read_run(path: Path) -> RunData:
    """Read a run's folder. Raises RunError naming the path when it holds no run."""
    folder = RunFolder(path)
    if not path.is_dir():
        raise RunError(f"{path}: {'not a folder' if path.exists() else 'no such folder'}")
    if not folder.recipe.is_file() and not folder.metrics.is_file():
        raise RunError(f"{path} holds no run: neither recipe.yaml nor metrics.jsonl is there")
    notes: list[str] = []
    recipe = _recipe(folder.recipe, notes)
    records, damaged = read_records(folder.metrics)
    if damaged:
        notes.append(
            f"{damaged} line{'s' * (damaged > 1)} of metrics.jsonl could not be read and are left out."
        )
    return RunData(
        path=path,
        recipe=recipe,
        config=_config(recipe, notes) if recipe else None,
        facts=_facts(folder, notes),
        records=records,
        samples=tuple(sample_steps(folder.samples)),
        notes=tuple(notes),
    )


def _recipe(path: Path, notes: list[str]) -> Mapping[str, Any]:
    if not path.is_file():
        notes.append("recipe.yaml is missing.")
        return {}
    try:
        return read_mapping(path)
    except RunError as error:
        notes.append(f"{error}.")
        return {}


def _config(recipe: Mapping[str, Any], notes: list[str]) -> HFMoEConfig | None:
    try:
        made = make_recipe(recipe)
        return made.config() if made.peer is None else None
    except RecipeError as error:
        notes.append(f"This version does not know the recipe, so the network's costs are not shown: {error}.")
        return None


def _facts(folder: RunFolder, notes: list[str]) -> ModelFacts | None:
    for path in (folder.best, folder.last):
        if path.is_file():
            try:
                return read_header(path).facts
            except (WeightsError, OSError) as error:
                notes.append(f"{error}.")
    return None
