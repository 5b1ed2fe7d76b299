"""Records of a run's folder, and the few numbers that sum them up: scores, pace, time left, expert loads.

Reads without failing where a file is missing, half written or damaged.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hfmoe.models.config import HFMoEConfig
from hfmoe.models.header import ModelFacts, WeightsError
from hfmoe.models.weights import read_header
from hfmoe.report.series import Series, make_series
from hfmoe.train.loading import RecipeError, make_recipe
from hfmoe.train.run_folder import RunError, RunFolder, read_mapping
from hfmoe.train.run_log import number, numbers, read_records
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
        """Return the records of some kinds."""
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


@dataclass(frozen=True)
class Score:
    """A validation PSNR in dB, its step, and the time of day in seconds since 1970 where it is known."""

    psnr: float
    step: int
    time: float | None


@dataclass(frozen=True)
class Pace:
    """Seconds of training, images per second over all of them, and the share spent waiting for data."""

    seconds: float
    images_per_second: float
    waiting: float


def scores(run: RunData) -> list[Score]:
    """Return the validation scores in the order of steps; infinite and missing ones are left out."""
    by_step = {
        record["step"]: Score(psnr, record["step"], number(record.get("time")))
        for record in run.of_kind("validation")
        if (psnr := number(record.get("psnr", record.get("psnr_y")))) is not None
    }
    return [by_step[step] for step in sorted(by_step)]


def best(scores: Sequence[Score]) -> Score | None:
    """Return the first of the highest scores."""
    return max(scores, key=lambda score: score.psnr, default=None)


def pace(run: RunData) -> Pace | None:
    """Compute the time from images per second, steps and batch size: None without records of speed.

    Time of validating and saving, and of work that a kill threw away, is not in it.
    """
    batch = number(run.recipe.get("batch"))
    spent = images = waited = 0.0
    before = 0
    for record in sorted(run.training, key=lambda record: record["step"]):
        speed, steps = number(record.get("images_per_second")), record["step"] - before
        if not speed or speed <= 0 or steps <= 0 or not batch:
            continue
        before = record["step"]
        images += steps * batch
        spent += steps * batch / speed
        waited += steps * batch / speed * (number(record.get("waiting")) or 0.0)
    return Pace(spent, images / spent, waited / spent) if spent else None


def session_seconds(run: RunData) -> float | None:
    """Return the time of the sessions by the clock, from start to last record; None without any."""
    total, start, seen = 0.0, None, False
    last = 0.0
    for record in run.records:
        time = number(record.get("time"))
        if time is None:
            continue
        if record.get("kind") == "session":
            total += max(0.0, last - start) if start is not None else 0.0
            start, last, seen = time, time, True
        last = max(last, time)
    return total + max(0.0, last - start) if seen and start is not None else None


def seconds_left(run: RunData) -> float | None:
    """Return the time that steps to come take at the speed of the latest tenth; None if none come."""
    batch, latest = number(run.recipe.get("batch")), run.training[-max(1, len(run.training) // 10) :]
    speeds = [speed for record in latest if (speed := number(record.get("images_per_second")))]
    ended = bool(run.records) and run.records[-1].get("action") == "stopped"
    if run.steps is None or not batch or not speeds or run.step >= run.steps or ended:
        return None
    return (run.steps - run.step) * batch / (sum(speeds) / len(speeds))


def mean_load(records: Sequence[Mapping[str, Any]]) -> list[list[float]]:
    """Return the mean share of each expert of each layer, over the records of the last one's shape."""
    loads = [load for record in records if (load := shares(record.get("load"))) is not None]
    if not loads:
        return []
    alike = [load for load in loads if shape(load) == shape(loads[-1])]
    layers = zip(*alike, strict=True)
    return [[math.fsum(values) / len(alike) for values in zip(*layer, strict=True)] for layer in layers]


def shares(load: Any) -> list[list[float]] | None:
    """Return a record's loads if they are one list of finite shares a layer, else None."""
    if not isinstance(load, list) or not load:
        return None
    fits = all(isinstance(layer, list) and layer for layer in load)
    return load if fits and all(number(share) is not None for layer in load for share in layer) else None


def shape(load: Sequence[Sequence[float]]) -> tuple[int, ...]:
    """Return the number of experts of each layer."""
    return tuple(len(layer) for layer in load)


def collect(records: Iterable[Mapping[str, Any]], *, leave_out: Iterable[str] = ()) -> dict[str, Series]:
    """Return the series of every finite number in the records, by its path such as "loss/l1"."""
    left_out = {"kind", "step", "time", *leave_out}
    points: dict[str, dict[int, float]] = {}
    for record in records:
        values = {name: value for name, value in record.items() if name not in left_out}
        for path, value in numbers(values, ""):
            points.setdefault(path[1:], {})[record["step"]] = value
    return {path: make_series(values) for path, values in points.items()}
