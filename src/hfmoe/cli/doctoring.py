"""The work of `hfmoe doctor`: training data and a run's memory looked at before the run."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from hfmoe.cli.checkup import checkup_data, show_checkup
from hfmoe.cli.errors import FAILED, INTERRUPTED, UsageError, complain
from hfmoe.cli.reports import check_report, write_report
from hfmoe.data import PairedFolders
from hfmoe.data.sources import Place, is_shard
from hfmoe.doctor import Inspection, Sources, found, inspect, to_json
from hfmoe.models.header import suggest
from hfmoe.models.presets import PRESETS
from hfmoe.train import Recipe, load_recipe, make_recipe
from hfmoe.train.probe import Probe, ProbeError, probe

MOST_PHOTOS = 0.1
"""Quantile of the photos' sides that a proposed patch stays within: nine of ten have room for it."""


@dataclass(frozen=True)
class Request:
    """What to look at, as given on the command line; None leaves a field to the recipe or its default."""

    folders: tuple[Path, ...]
    pairs: tuple[Path, Path] | None = None
    validation: Path | None = None
    recipe: Path | None = None
    preset: str | None = None
    scale: int | None = None
    probe: bool | None = None
    memory: int | None = None
    seconds: float = 45.0
    threads: int | None = None
    file: Path | None = None


def examine(request: Request) -> int:
    """Inspect, probe, show and write; returns the exit status: 0 without errors, 1 with, 130 when stopped."""
    _check(request)
    recipe = _recipe(request)
    sources = _sources(request, recipe)
    with _progress() as hear:
        inspection = inspect(sources, on_file=hear, threads=request.threads)
    complete = inspection.looked_at == inspection.files
    measured = None
    if complete and recipe is not None and request.probe is not False:
        inspection, measured = _probed(inspection, recipe, request)
    show_checkup(Console(), inspection, measured)
    if request.file is not None:
        write_report(request.file, to_json(checkup_data(inspection, measured)))
    if not complete:
        complain(f"interrupted: {inspection.looked_at} of {inspection.files} files were looked at")
        return INTERRUPTED
    return FAILED if inspection.of_severity("error") else 0


def _check(request: Request) -> None:
    """UsageError for what no inspection can be made of."""
    if request.file is not None:
        check_report(request.file)
    if request.recipe is None and not request.folders and request.pairs is None:
        raise UsageError("name a folder, --pairs DEGRADED TARGET or --recipe")
    if request.probe and request.recipe is None and request.preset is None:
        raise UsageError("--probe needs the network of a --recipe or a --preset")
    if request.preset is not None and request.preset not in PRESETS:
        raise UsageError(f"--preset {request.preset!r} is no preset{suggest(request.preset, PRESETS)}")
    for name, number in (
        ("memory", request.memory),
        ("seconds", request.seconds),
        ("threads", request.threads),
    ):
        if number is not None and not number > 0:
            raise UsageError(f"--{name} {number} must be above 0")
    if request.scale is not None and request.scale not in (1, 2, 3, 4):
        raise UsageError(f"--scale {request.scale} must be 1, 2, 3 or 4")


def _recipe(request: Request) -> Recipe | None:
    """The recipe, or one that only has the preset's network; None where neither is given."""
    if request.recipe is not None:
        fields = {} if request.preset is None else {"preset": request.preset}
        return load_recipe(request.recipe, fields)
    if request.preset is None:
        return None
    here = {"train": ".", "run": ".", "steps": 1, "tasks": [{"kind": "denoise"}]}
    return make_recipe({"name": request.preset, "preset": request.preset, **here})


def _sources(request: Request, recipe: Recipe | None) -> Sources:
    """Folders of the command line, else those of the recipe. UsageError for one that is not there."""
    pairs = (PairedFolders(*request.pairs),) if request.pairs else ()
    photos, validation = request.folders, request.validation
    if request.recipe is not None and recipe is not None:
        validation = validation or _targets(recipe.validation.folder)
        if not photos and not pairs:
            photos, pairs = _entries(recipe)
    sources = Sources(photos, pairs, validation, scale=request.scale or 1)
    if recipe is not None:
        scale = recipe.config().scale
        if request.scale not in (None, scale):
            raise UsageError(f"--scale {request.scale}: the network is of scale {scale}")
        room = max(size for _, size in recipe.patch) * scale if request.recipe else None
        sources = replace(sources, scale=scale, room=room)
    elif pairs and request.scale is None:
        raise UsageError("--pairs needs --scale, --recipe or --preset")
    for folder in map(Path, sources.folders()):
        if not folder.is_dir():
            raise UsageError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}")
    return sources


def _targets(place: Place | None) -> Path | None:
    """The folder of photos that a recipe validates on."""
    return place.target if isinstance(place, PairedFolders) else place


def _entries(recipe: Recipe) -> tuple[tuple[Path, ...], tuple[PairedFolders, ...]]:
    """Folders of photos and of pairs that a recipe trains on."""
    photos, pairs = [], []
    for entry in recipe.train:
        if isinstance(entry, Path) and is_shard(entry):
            raise UsageError(f"{entry}: tar shards are not inspected; name folders of photos instead")
        if isinstance(entry, Path):
            photos.append(entry)
        elif hasattr(entry, "degraded") and hasattr(entry, "target"):
            pairs.append(PairedFolders(Path(entry.degraded), Path(entry.target)))
    return tuple(photos), tuple(pairs)


def _probed(inspection: Inspection, recipe: Recipe, request: Request) -> tuple[Inspection, Probe | None]:
    """The inspection with what the probe found, and the probe."""
    sides = [min(photo.facts.height, photo.facts.width) for photo in inspection.photos]
    room = int(np.quantile(sides, MOST_PHOTOS)) // recipe.config().scale if sides else None
    limit = request.memory * 2**20 if request.memory else None
    console = Console(stderr=True)
    try:
        with console.status(f"measuring training steps of {recipe.preset}"):
            measured = probe(recipe, limit=limit, seconds=request.seconds, room=room)
    except ProbeError as error:
        return _with(inspection, found("probe", [], str(error))), None
    largest = max(size for _, size in recipe.patch)
    need = measured.fit.peak(recipe.batch, largest)
    if measured.proposal is None or (request.recipe and len(measured.trials) > 1 and need > measured.limit):
        detail = (
            f"batch {recipe.batch} of patch {largest} needs about {need / 2**20:.0f} MiB "
            f"of {measured.limit / 2**20:.0f} MiB"
        )
        inspection = _with(inspection, found("memory", [], detail, need / 2**20))
    return inspection, measured


def _with(inspection: Inspection, finding: object) -> Inspection:
    return replace(inspection, findings=(finding, *inspection.findings))


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal that follows (done, total)."""
    console = Console(stderr=True)
    columns = (TextColumn("looking"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal or not sys.stderr.isatty()
    ) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
