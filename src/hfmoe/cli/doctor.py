"""`hfmoe doctor`: training data and a run's memory looked at before the run."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from hfmoe.cli.errors import FAILED, INTERRUPTED, UsageError, complain
from hfmoe.cli.output import check_report, write_report
from hfmoe.data import PairedFolders
from hfmoe.data.sources import PhotoLocation, is_shard
from hfmoe.doctor import RULES, SEVERITIES, Finding, Inspection, Severity, Sources, found, inspect, to_json
from hfmoe.models.header import suggest
from hfmoe.models.presets import PRESETS
from hfmoe.train import Recipe, load_recipe, make_recipe
from hfmoe.train.probe import Probe, ProbeError, Trial, probe

MOST_PHOTOS = 0.1
"""Quantile of the photos' sides that a proposed patch stays within: nine of ten have room for it."""

EXAMPLES = 3
"""Findings of a kind that the screen shows; the JSON file has all."""

MORE_TIME = "give --seconds more to try others"

_COLOURS: dict[Severity, str] = {"error": "red", "warning": "yellow", "note": "cyan"}


@dataclass(frozen=True)
class DoctorOptions:
    """Further subjects of a check beside folders of photos; None leaves a field to the recipe or its default.

    Parameters
    ----------
    recipe
        Recipe of the run: its folders, patch and network.
    pairs
        A folder of degraded images and one of their targets, matched by stem.
    validation
        Folder of photos to validate on, searched for photos that are also trained on.
    scale
        Sizes of the degraded image in a pair's target; default the recipe's.
    preset
        Network to probe without a recipe, or instead of the recipe's.
    probe
        Measure training steps; default yes where a recipe or preset is given.
    memory
        Memory in MiB that training may take; default 70 % of what is free.
    seconds
        Time for the probe.
    threads
        Files read at a time; default one a processor.
    json
        Also write the whole report to this file.
    """

    recipe: Path | None = None
    pairs: tuple[Path, Path] | None = None
    validation: Path | None = None
    scale: int | None = None
    preset: str | None = None
    probe: Annotated[bool | None, Parameter(negative="--no-probe")] = None
    memory: int | None = None
    seconds: float = 45.0
    threads: int | None = None
    json: Path | None = None


def doctor(
    data: Annotated[list[Path] | None, Parameter(name="DATA")] = None,
    /,
    *,
    options: Annotated[DoctorOptions, Parameter(name="*")] = DoctorOptions(),  # noqa: B008 (frozen)
) -> int:
    """Inspect training data, and measure what batch and patch fit, before a run.

    Ends with status 0 without errors (warnings and notes are none), 1 with errors, 2 for wrong usage.

    Parameters
    ----------
    data
        Folders of photos to train on; default those of the recipe.
    """
    folders = tuple(data or ())
    _check(folders, options)
    recipe = _recipe(options)
    sources = _sources(folders, options, recipe)
    with _progress() as hear:
        inspection = inspect(sources, on_file=hear, threads=options.threads)
    complete = inspection.looked_at == inspection.files
    measured = None
    if complete and recipe is not None and options.probe is not False:
        inspection, measured = _probed(inspection, recipe, options)
    show_checkup(Console(), inspection, measured)
    if options.json is not None:
        write_report(options.json, to_json(checkup_data(inspection, measured)))
    if not complete:
        complain(f"interrupted: {inspection.looked_at} of {inspection.files} files were looked at")
        return INTERRUPTED
    return FAILED if inspection.of_severity("error") else 0


def _check(folders: Sequence[Path], options: DoctorOptions) -> None:
    """UsageError for what no inspection can be made of."""
    if options.json is not None:
        check_report(options.json)
    if options.recipe is None and not folders and options.pairs is None:
        raise UsageError("name a folder, --pairs DEGRADED TARGET or --recipe")
    if options.probe and options.recipe is None and options.preset is None:
        raise UsageError("--probe needs the network of a --recipe or a --preset")
    if options.preset is not None and options.preset not in PRESETS:
        raise UsageError(f"--preset {options.preset!r} is no preset{suggest(options.preset, PRESETS)}")
    for name, number in (
        ("memory", options.memory),
        ("seconds", options.seconds),
        ("threads", options.threads),
    ):
        if number is not None and not number > 0:
            raise UsageError(f"--{name} {number} must be above 0")
    if options.scale is not None and options.scale not in (1, 2, 3, 4):
        raise UsageError(f"--scale {options.scale} must be 1, 2, 3 or 4")


def _recipe(options: DoctorOptions) -> Recipe | None:
    """The recipe, or one that only has the preset's network; None where neither is given."""
    if options.recipe is not None:
        fields = {} if options.preset is None else {"preset": options.preset}
        return load_recipe(options.recipe, fields)
    if options.preset is None:
        return None
    here = {"train": ".", "run": ".", "steps": 1, "tasks": [{"kind": "denoise"}]}
    return make_recipe({"name": options.preset, "preset": options.preset, **here})


def _sources(folders: tuple[Path, ...], options: DoctorOptions, recipe: Recipe | None) -> Sources:
    """Folders of the command line, else those of the recipe. UsageError for one that is not there."""
    pairs = (PairedFolders(*options.pairs),) if options.pairs else ()
    photos, validation = folders, options.validation
    if options.recipe is not None and recipe is not None:
        validation = validation or _targets(recipe.validation.folder)
        if not photos and not pairs:
            photos, pairs = _entries(recipe)
    sources = Sources(photos, pairs, validation, scale=options.scale or 1)
    if recipe is not None:
        scale = recipe.config().scale
        if options.scale not in (None, scale):
            raise UsageError(f"--scale {options.scale}: the network is of scale {scale}")
        room = max(size for _, size in recipe.patch) * scale if options.recipe else None
        sources = replace(sources, scale=scale, room=room)
    elif pairs and options.scale is None:
        raise UsageError("--pairs needs --scale, --recipe or --preset")
    for folder in map(Path, sources.folders()):
        if not folder.is_dir():
            raise UsageError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}")
    return sources


def _targets(place: PhotoLocation | None) -> Path | None:
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


def _probed(
    inspection: Inspection, recipe: Recipe, options: DoctorOptions
) -> tuple[Inspection, Probe | None]:
    """The inspection with what the probe found, and the probe."""
    sides = [min(photo.facts.height, photo.facts.width) for photo in inspection.photos]
    room = int(np.quantile(sides, MOST_PHOTOS)) // recipe.config().scale if sides else None
    limit = options.memory * 2**20 if options.memory else None
    console = Console(stderr=True)
    try:
        with console.status(f"measuring training steps of {recipe.preset}"):
            measured = probe(recipe, limit=limit, seconds=options.seconds, room=room)
    except ProbeError as error:
        return _with(inspection, found("probe", [], str(error))), None
    largest = max(size for _, size in recipe.patch)
    need = measured.fit.peak(recipe.batch, largest)
    if measured.proposal is None or (options.recipe and len(measured.trials) > 1 and need > measured.limit):
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


def checkup_data(inspection: Inspection, probe: Probe | None) -> dict[str, Any]:
    """Return all that was found as plain values; "probe" is null where none ran."""
    return {**inspection.as_data(), "probe": None if probe is None else probe.as_data()}


def show_checkup(console: Console, inspection: Inspection, probe: Probe | None) -> None:
    """Print a table for each severity, what the probe measured, and a last line that sums up."""
    for severity in SEVERITIES:
        findings = inspection.of_severity(severity)
        if findings:
            console.print(_table(severity, findings))
    if probe is not None:
        console.print(_probe_table(probe))
        console.print(_proposal(probe), highlight=False)
    console.print(_sum(inspection), highlight=False, soft_wrap=True, markup=False)


def _table(severity: Severity, findings: Sequence[Finding]) -> Table:
    colour = _COLOURS[severity]
    table = Table(title=f"{len(findings)} {severity}{'s' * (len(findings) != 1)}", title_style=colour)
    table.add_column("what", style=colour, no_wrap=True)
    table.add_column("number", justify="right")
    table.add_column("what to do, and where", overflow="fold")
    for kind, group in groupby(sorted(findings, key=lambda finding: finding.kind), lambda found: found.kind):
        alike = list(group)
        text = Text(RULES[alike[0].kind].advice)
        text.append("\n" + _examples(alike), style="dim")
        table.add_row(kind, str(len(alike)), text)
    return table


def _examples(findings: Sequence[Finding]) -> str:
    lines = list(map(_line, findings[:EXAMPLES]))
    if len(findings) > EXAMPLES:
        lines.append(f"and {len(findings) - EXAMPLES} more")
    return "\n".join(lines)


def _line(finding: Finding) -> str:
    """The finding in one line, each file by its folder's and its own name."""
    detail = finding.detail
    for file in finding.files:
        detail = detail.removeprefix(f"{file}: ")
    names = ["/".join(Path(file).parts[-2:]) for file in finding.files]
    more = [f"{len(names) - EXAMPLES} more"] if len(names) > EXAMPLES else []
    shown = ", ".join([*names[:EXAMPLES], *more])
    return f"{shown}: {detail}" if shown else detail


def _probe_table(probe: Probe) -> Table:
    table = Table(title=f"training steps on {probe.device}, up to {_mib(probe.limit)} MiB")
    for column in ("batch", "patch", "s a step", "images/s", "Mpixels/s", "peak MiB"):
        table.add_column(column, justify="right")
    for trial in probe.trials:
        table.add_row(
            str(trial.batch),
            str(trial.patch),
            f"{trial.seconds:.3f}",
            f"{trial.images_per_second:.1f}",
            f"{trial.pixels_per_second / 1e6:.3f}",
            _mib(trial.peak),
            style="bold" if trial == probe.proposal else None,
        )
    return table


def _proposal(probe: Probe) -> str:
    lines: list[str] = []
    if probe.proposal:
        chosen = probe.proposal
        lines.append(f"proposal: batch {chosen.batch}, patch {chosen.patch} (most pixels a second that fit)")
        lines.append(_reach(probe, chosen))
    else:
        lines.append("no proposal: not even the smallest step fits")
    if probe.stopped:
        lines.append(f"the probe ended early: {probe.stopped}")
    return "\n".join(lines)


def _reach(probe: Probe, chosen: Trial) -> str:
    """Sentence on what memory would hold by the trials; of one trial alone, that it compares with none."""
    batch = f"batch {probe.largest_batch} at patch {chosen.patch}"
    if len(probe.trials) > 1:
        return f"memory would hold {batch}, by a line fit"
    return f"this is the only trial, nothing to compare with; memory would hold at least {batch}: {MORE_TIME}"


def _sum(inspection: Inspection) -> str:
    facts = inspection.summary
    counts = ", ".join(f"{len(inspection.of_severity(severity))} {severity}s" for severity in SEVERITIES)
    sides = f"sides {facts.smallest_side} to {facts.largest_side}"
    sorts = _counted(facts.formats)
    return (
        f"{facts.images} photos to train on, {facts.megapixels:.1f} megapixels, {sides}"
        f"{f' ({sorts})' if sorts else ''}: {counts}"
    )


def _counted(counts: dict[str, int]) -> str:
    ordered: Iterable[tuple[str, int]] = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{count} {name}" for name, count in ordered)


def _mib(size: float | int) -> str:
    return f"{size / 2**20:.0f}"
