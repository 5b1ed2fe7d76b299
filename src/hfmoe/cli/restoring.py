"""The work of `hfmoe restore`: files in, files out, bad ones reported and passed over."""

import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from hfmoe.batch.jobs import (
    WORKERS,
    Failed,
    make_naming,
    model_digest,
    run_jobs,
    searched_suffixes,
    written_suffixes,
)
from hfmoe.batch.large import is_begun
from hfmoe.batch.naming import Naming, PlanError, Selection
from hfmoe.batch.planning import Job, plan_jobs
from hfmoe.batch.settings import STREAM, Settings
from hfmoe.batch.work import Done
from hfmoe.cli.errors import FAILED, Stopped, UsageError, complain
from hfmoe.image.files import printable
from hfmoe.infer.api import DEFAULT_MODEL, load
from hfmoe.infer.backends.opening import is_exported
from hfmoe.infer.restorer import Restorer
from hfmoe.infer.tiled import OnTile
from hfmoe.models.header import shipped

BACKENDS = ("auto", "torch", "onnx", "openvino")
MOST_WORKERS = 64
CLEANER = "tiny-photo-x1"
"""The model of scale 1 when none is named: it is for photos as they are, whatever is wrong with them."""


@dataclass(frozen=True)
class Order:
    """What to restore with and how to go about it, as given on the command line."""

    model: str | None
    scale: int | None
    format: str
    device: str
    backend: str = "auto"
    name: str | None = None
    selection: Selection = field(default=Selection())
    workers: int = WORKERS
    redo: bool = False


class Prepared(NamedTuple):
    """What a job needs before files are looked for: the model by name and opened, names, what counts."""

    model: str
    restorer: Restorer
    naming: Naming
    selection: Selection


def prepare(order: Order, settings: Settings, *, device: str, most_workers: int = MOST_WORKERS) -> Prepared:
    """Check the options and open the model on a device. Raises UsageError for what cannot be."""
    _check_amounts(order, settings, most_workers=most_workers)
    model = choose_model(order.model, scale=order.scale, backend=order.backend)
    restorer = _load(model, scale=order.scale, device=device)
    _check_tile(settings.tile, restorer)
    try:
        known = written_suffixes(settings)
        naming = make_naming(restorer, suffix=_form(order.format, known), pattern=order.name, known=known)
    except PlanError as error:
        raise UsageError(str(error)) from error
    return Prepared(model, restorer, naming, replace(order.selection, suffixes=searched_suffixes(settings)))


def restore_files(inputs: Sequence[str], output: str | None, order: Order, settings: Settings) -> int:
    """Restore every input. Each failure is one line on stderr; returns the exit status."""
    for place in (*inputs, *([output] if output else [])):
        if "://" in place:
            raise UsageError(f"{place} is an address; --engine ray reads and writes those")
    model, restorer, naming, selection = prepare(order, settings, device=order.device)
    try:
        jobs = plan_jobs(inputs, output, naming=naming, selection=selection)
    except PlanError as error:
        raise UsageError(str(error)) from error
    with _progress() as progress, _terminable():
        screen = _Screen(progress, len(jobs))
        try:
            summary = run_jobs(
                jobs,
                restorer,
                settings,
                model=model_digest(model),
                workers=order.workers,
                redo=order.redo,
                on_begin=screen.begin,
                on_end=screen.end,
            )
        except KeyboardInterrupt as stop:
            raise _stopped(stop, screen, jobs) from stop
    places = {job: number for number, job in enumerate(jobs)}
    failed = sorted(summary.failed, key=lambda failure: places[failure.job])
    return report(len(summary.skipped), [failure.reason for failure in failed], images=len(jobs))


def _stopped(stop: KeyboardInterrupt, screen: "_Screen", jobs: list[Job]) -> BaseException:
    number = signal.SIGTERM if stop.args == (signal.SIGTERM,) else signal.SIGINT
    kept = all(job.root for job in jobs) if len(jobs) > 1 else is_begun(jobs[0].target)
    goes_on = "; the same command goes on" if kept else ""
    if len(jobs) == 1:
        return Stopped(f"interrupted{goes_on}", signal=number)
    return Stopped(f"interrupted after {screen.ended} of {len(jobs)} images{goes_on}", signal=number)


def report(skipped: int, failed: Sequence[str], *, images: int) -> int:
    """Say how a job of so many images ended, with a line on stderr for each failure; give the exit status."""
    if skipped:
        count = f"{skipped} of {images}"
        sys.stdout.write(f"{count} were done before with the same settings (--redo does them again)\n")
    for reason in failed:
        complain(reason)
    if failed and images > 1:
        complain(f"{len(failed)} of {images} images failed")
    return FAILED if failed else 0


def choose_model(model: str | None, *, scale: int | None, backend: str = "auto") -> str:
    """The model's name or file; of none, the nano of the scale. UsageError for what cannot be.

    backend: "auto" runs weights in torch and exported files in their runtime; "torch", "onnx" and "openvino"
    ask for one, the last two with an export of their own where `model` is weights.
    """
    if backend not in BACKENDS:
        raise UsageError(f"--backend {backend!r} must be one of {', '.join(BACKENDS)}")
    if scale is not None and scale not in (1, 2, 3, 4):
        raise UsageError(f"--scale {scale} must be 1, 2, 3 or 4")
    if model is None:
        model = DEFAULT_MODEL if scale is None else _shipped_of(scale)
    if backend == "torch" and is_exported(model):
        raise UsageError(f"--backend torch: {model} is an exported file")
    if backend in ("onnx", "openvino"):
        from hfmoe.cli.copies import exported_copy

        model = str(exported_copy(model, backend))
    return model


def open_model(model: str | None, *, scale: int | None, device: str, backend: str = "auto") -> Restorer:
    """Load what `choose_model` chooses. UsageError when its scale is another."""
    return _load(choose_model(model, scale=scale, backend=backend), scale=scale, device=device)


def _load(model: str, *, scale: int | None, device: str) -> Restorer:
    restorer = load(model, device=device)
    if scale not in (None, restorer.scale):
        raise UsageError(f"--scale {scale}: {model} is a model of scale {restorer.scale}")
    return restorer


def _shipped_of(scale: int) -> str:
    name, known = CLEANER if scale == 1 else f"nano-x{scale}", shipped()
    if name not in known:
        raise UsageError(
            f"--scale {scale}: no model of that scale ships ({', '.join(known)} do); give a --model"
        )
    return name


def _check_amounts(order: Order, settings: Settings, *, most_workers: int) -> None:
    """UsageError, once and before any image is read, for an amount that no image could be restored with."""
    for name in ("effort", "strength"):
        value = getattr(settings, name)
        if not 0 <= value <= 1:
            raise UsageError(f"--{name} {value} must be in [0, 1]")
    if not 1 <= settings.quality <= 100:
        raise UsageError(f"--quality {settings.quality} must be in [1, 100]")
    if not 1 <= order.workers <= most_workers:
        raise UsageError(f"--workers {order.workers} must be in [1, {most_workers}]")


def _form(format: str, known: Sequence[str]) -> str:
    """The suffix of results without a name of their own."""
    suffix = f".{format.lower().lstrip('.')}"
    if suffix not in known:
        forms = ", ".join(each.lstrip(".") for each in known)
        raise UsageError(f"--format {format!r} must be one of {forms}")
    return suffix


def _check_tile(tile: int | str, restorer: Restorer) -> None:
    """UsageError before the first image for a tile that no image could be cut into."""
    if isinstance(tile, int) and tile < restorer.smallest_tile():
        least = restorer.smallest_tile()
        raise UsageError(f"--tile {tile} must be at least {least} for {restorer.facts.name}")


def parse_tile(text: str) -> int | str:
    """Give what --tile means. Raises UsageError."""
    if text in ("auto", "off"):
        return text
    if not text.isdecimal():
        raise UsageError(f"--tile {text!r} must be auto, off or a number of pixels")
    return int(text)


def parse_settings(**given: Any) -> Settings:
    """The settings that options mean. Raises UsageError for those that contradict each other."""
    if given["stream"] not in STREAM:
        raise UsageError(f"--stream {given['stream']!r} must be one of {', '.join(STREAM)}")
    try:
        return Settings(**{**given, "tile": parse_tile(given["tile"])})
    except ValueError as error:
        raise UsageError(f"--{error}") from error


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
        bar = self._bars[job] = self._progress.add_task(job.source.name, total=None)
        return lambda done, total: self._progress.update(bar, completed=done, total=total)

    def end(self, outcome: Done | Failed) -> None:
        if outcome.job in self._bars:
            self._progress.remove_task(self._bars.pop(outcome.job))
        self._progress.advance(self._overall)
        self.ended += 1
        if isinstance(outcome, Done):
            with _above(self._progress):
                sys.stdout.write(f"{printable(outcome.job.target)}  {outcome.width} x {outcome.height}\n")
                sys.stdout.flush()
