"""`hfmoe restore`: files in, files out, here or over a Ray cluster; bad ones are reported and passed over."""

import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from hfmoe.batch.cluster import Cluster
from hfmoe.batch.dispatch import (
    WORKERS,
    Done,
    Failed,
    JobSummary,
    make_naming,
    model_digest,
    run_here,
    run_on_ray,
)
from hfmoe.batch.large import is_begun
from hfmoe.batch.planning import Job, plan_jobs
from hfmoe.batch.settings import Naming, PlanError, Selection, Settings
from hfmoe.cli.errors import FAILED, Stopped, UsageError, complain
from hfmoe.cli.model_choice import ModelChoice
from hfmoe.cli.pipes import is_piped, restore_piped
from hfmoe.image.files import printable
from hfmoe.infer.restorer import Restorer
from hfmoe.infer.tiled import OnTile

MOST_THREADS = 64
MOST_WORKERS = 65_536
"""Of a cluster."""


def restore(
    inputs: Annotated[list[str], Parameter(name="INPUT")],
    /,
    *,
    model: str | None = None,
    sharpness: float | None = None,
    output: str | None = None,
    name: str | None = None,
    include: list[str] | None = None,
    exclude: list[str] | None = None,
    recursive: Annotated[bool, Parameter(negative="--no-recursive")] = True,
    format: str = "png",
    settings: Annotated[Settings, Parameter(name="*")] = Settings(),  # noqa: B008 (frozen)
    device: str = "auto",
    backend: str = "auto",
    workers: int = WORKERS,
    redo: bool = False,
    engine: str = "local",
    address: str | None = None,
) -> int:
    """Restore image files, or every image of folders and of the folders in them.

    What a folder of results already has from the same files and settings is skipped, so an interrupted
    command goes on when it is given again. A bad file stops no other: the exit status is 1 then.

    Parameters
    ----------
    inputs
        Image files, folders, patterns such as 'photos/**/*.jpg', or - for stdin. A file is written beside
        its source as <stem>-x4.png, a folder into a folder <name>-x4 with the same tree; sources are never
        overwritten.
    model
        A model that ships (see `hfmoe models`), a weights file, or what `hfmoe export` wrote (.onnx, .xml);
        default the photo model of the scale, sharp where it has a sharp end.
    sharpness
        Of a photo model, from 0, faithful, to 1, sharp: how much texture it adds that the photo only
        suggests. Lower it where skin looks plastic or grain shall stay.
    output
        A file for one input, a folder for several, made where it is missing; - for stdout.
    name
        What results are called: {stem}, {name}, {scale}, {model} and {suffix} stand for the source's name
        without and with suffix, and the result's. Default {stem}-x{scale}{suffix}.
    include
        Take only files whose name, path below the folder, or one of its folders fits this pattern; may be
        repeated. Capital letters or not, and * stands for slashes, too.
    exclude
        Leave out what fits, as with --include.
    recursive
        Take the images of folders in folders.
    format
        png, tif (the one that holds floats), jpg, webp or avif; the suffix of a file given as --output
        comes first.
    device
        auto, cpu, cuda, cuda:N or mps.
    backend
        torch, onnx or openvino; auto takes torch for weights and its runtime for an exported file. A model
        is exported for onnx or openvino at first use and kept in ~/.cache/hfmoe.
    workers
        Threads that read files ahead of the network, and as many that write results behind it.
    redo
        Restore what is done, too.
    engine
        local, or ray: the same over a Ray cluster, --workers of whose processes each hold the model. Inputs
        and output may then be addresses that fsspec knows, such as s3://bucket/photos.
    address
        Of the Ray cluster, such as auto or ray://head:10001; without it one is started for the job.
    """
    if engine not in ("local", "ray") or (engine == "local" and address is not None):
        raise UsageError(f"--engine {engine!r} must be local or ray; --address is of ray")
    _check(engine, workers, (*inputs, *([output] if output else [])))
    piped = is_piped(inputs, output)
    if piped and engine != "local":
        raise UsageError("- needs --engine local")
    chosen = ModelChoice(model, settings, backend, "cpu" if engine == "ray" else device, sharpness)
    if engine == "ray" and chosen.by_size:
        raise UsageError("--engine ray asks for a --model with --width, --height and --fit")
    restorer = chosen.open()
    _check_tile(settings.tile, restorer)
    selection = Selection(include or (), exclude or (), recursive, settings.read_suffixes)
    naming = _naming(restorer, settings, format=format, pattern=name, chosen_by_size=model is None)
    if piped:
        return restore_piped(inputs[0], output, chosen, naming)
    planned = JobSummary()
    jobs = _plan(inputs, output, naming, selection, planned)
    if engine == "ray":
        cluster = _cluster(address, workers, "cpu" if device == "auto" else device)
        planned.add(_run_on_ray(jobs, chosen.name(), restorer.scale, settings, cluster, redo=redo))
    else:
        planned.add(_run_here(jobs, chosen, workers=workers, redo=redo))
    return _report(planned, jobs)


def _check(engine: str, workers: int, places: Sequence[str]) -> None:
    most = MOST_WORKERS if engine == "ray" else MOST_THREADS
    if not 1 <= workers <= most:
        raise UsageError(f"--workers {workers} must be in [1, {most}]")
    for place in places:
        if "://" in place and engine == "local":
            raise UsageError(f"{place} is an address; --engine ray reads and writes those")


def _check_tile(tile: int | str, restorer: Restorer) -> None:
    """UsageError before the first image for a tile that no image could be cut into."""
    if isinstance(tile, int) and tile < restorer.smallest_tile():
        least = restorer.smallest_tile()
        raise UsageError(f"--tile {tile} must be at least {least} for {restorer.facts.name}")


def _cluster(address: str | None, workers: int, device: str) -> Cluster:
    try:
        return Cluster(address, workers, device)
    except ValueError as error:
        raise UsageError(f"--{error}") from error


def _naming(restorer: Restorer, settings: Settings, **options: Any) -> Naming:
    try:
        return make_naming(restorer, settings, **options)
    except ValueError as error:
        named = "" if isinstance(error, PlanError) else "--"
        raise UsageError(f"{named}{error}") from error


def _plan(
    inputs: Sequence[str], output: str | None, naming: Naming, selection: Selection, planned: JobSummary
) -> list[Job]:
    noted = {"left_out": planned.left_out, "not_taken": planned.not_taken}
    try:
        return plan_jobs(inputs, output, naming=naming, selection=selection, **noted)
    except ValueError as error:
        named = "" if isinstance(error, PlanError) else "--"
        raise UsageError(f"{named}{error}") from error


def _run_here(jobs: list[Job], chosen: ModelChoice, *, workers: int, redo: bool) -> JobSummary:
    summary = JobSummary()
    with _progress() as progress, _terminable():
        screen = _Screen(progress, len(jobs))
        try:
            for scale, group in chosen.groups(jobs).items():
                part = run_here(
                    group,
                    chosen.open(scale),
                    chosen.settings,
                    model=model_digest(chosen.name(scale)),
                    workers=workers,
                    redo=redo,
                    on_begin=screen.begin,
                    on_end=screen.end,
                )
                summary.add(part)
        except KeyboardInterrupt as stop:
            raise _stopped(stop, screen.ended, jobs) from stop
    return summary


def _run_on_ray(
    jobs: list[Job], model: str, scale: int, settings: Settings, cluster: Cluster, *, redo: bool
) -> JobSummary:
    """Ray's own messages go to stderr."""
    screen = sys.stdout
    with redirect_stdout(sys.stderr):
        return run_on_ray(
            jobs,
            model,
            settings,
            scale=scale,
            cluster=cluster,
            redo=redo,
            on_end=lambda outcome: _tell(outcome, screen),
        )


def _stopped(stop: KeyboardInterrupt, ended: int, jobs: list[Job]) -> Stopped:
    number = signal.SIGTERM if stop.args == (signal.SIGTERM,) else signal.SIGINT
    kept = all(job.root for job in jobs) if len(jobs) > 1 else is_begun(Path(jobs[0].target))
    count = "" if len(jobs) == 1 else f" after {ended} of {len(jobs)} images"
    return Stopped(f"interrupted{count}{'; the same command goes on' if kept else ''}", signal=number)


def _report(summary: JobSummary, jobs: Sequence[Job]) -> int:
    """Say how a job ended, with a line on stderr for each failure; give the exit status."""
    if summary.skipped:
        count = f"{len(summary.skipped)} of {len(jobs)}"
        sys.stdout.write(f"{count} were done before with the same settings (--redo does them again)\n")
    if summary.left_out:
        count = _counted([printable(place) for place in summary.left_out])
        sys.stdout.write(f"left out, as results of an earlier run beside their sources: {count}\n")
    if summary.not_taken:
        count = _counted([f"{printable(one.path)} ({one.kind})" for one in summary.not_taken])
        sys.stdout.write(f"not taken, though images by their content: {count}\n")
    order = {job: number for number, job in enumerate(jobs)}
    for failed in sorted(summary.failed, key=lambda failed: order[failed.job]):
        complain(failed.reason)
    if summary.failed and len(jobs) > 1:
        complain(f"{len(summary.failed)} of {len(jobs)} images failed")
    return FAILED if summary.failed else 0


def said_of_damage(missing: float | None) -> str:
    """Note on a damaged source in its line; empty for a sound one."""
    if missing is None:
        return ""
    return (
        f"  (damaged: {missing:.1%} of its rows are missing)" if missing else "  (damaged; no row is missing)"
    )


def _counted(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _tell(outcome: Done | Failed, screen: Any) -> None:
    """A line for a result."""
    if isinstance(outcome, Done):
        size = f"{outcome.width} x {outcome.height}{said_of_damage(outcome.missing)}"
        screen.write(f"{printable(outcome.job.target)}  {size}\n")
        screen.flush()


def _progress() -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


@contextmanager
def _above(progress: Progress) -> Iterator[None]:
    """Hide the bars while a line is printed."""
    if progress.disable or not sys.stdout.isatty():
        yield
        return
    progress.stop()
    yield
    progress.start()


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end the work in order, as Ctrl-C does."""

    def stop(number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt(signal.Signals(number))

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Screen:
    """Bars of a job on stderr, where that is a terminal, and a line on stdout for each result."""

    def __init__(self, progress: Progress, count: int) -> None:
        self._progress = progress
        self._overall = progress.add_task("", total=count, visible=count > 1)
        self._bars: dict[Job, TaskID] = {}
        self.ended = 0

    def begin(self, job: Job) -> OnTile:
        bar = self._bars[job] = self._progress.add_task(Path(job.source).name, total=None)
        return lambda done, total: self._progress.update(bar, completed=done, total=total)

    def end(self, outcome: Done | Failed) -> None:
        if outcome.job in self._bars:
            self._progress.remove_task(self._bars.pop(outcome.job))
        self._progress.advance(self._overall)
        self.ended += 1
        with _above(self._progress):
            _tell(outcome, sys.stdout)
