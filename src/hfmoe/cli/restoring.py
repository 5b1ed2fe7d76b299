"""The work of `hfmoe restore`: files in, files out, bad ones reported and passed over."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from hfmoe.cli.errors import FAILED, UsageError, complain
from hfmoe.cli.outputs import Job, plan_jobs
from hfmoe.image.files import IMAGE_SUFFIXES, check_writable, read_arrays, strip, write_picture
from hfmoe.infer.api import DEFAULT_MODEL, load
from hfmoe.infer.backends.opening import is_exported
from hfmoe.infer.restorer import Restorer
from hfmoe.models.header import shipped

BACKENDS = ("auto", "torch", "onnx", "openvino")


@dataclass(frozen=True)
class Settings:
    """How to restore, as given on the command line."""

    model: str | None
    scale: int | None
    format: str
    quality: int
    strip: bool
    tile: str
    effort: float
    strength: float
    ensemble: bool
    device: str
    backend: str = "auto"


def restore_files(inputs: Sequence[Path], output: str | None, settings: Settings) -> int:
    """Restore every input. Each failure is one line on stderr; returns the exit status."""
    _check_amounts(settings)
    options = {
        "tile": _tile(settings.tile),
        "effort": settings.effort,
        "strength": settings.strength,
        "ensemble": settings.ensemble,
    }
    restorer = open_model(
        settings.model, scale=settings.scale, device=settings.device, backend=settings.backend
    )
    _check_tile(options["tile"], restorer)
    mark = f"-x{restorer.scale}" if restorer.scale > 1 else "-restored"
    jobs = plan_jobs(inputs, output, suffix=mark, form=_form(settings))
    failures = []
    with _progress() as progress:
        overall = progress.add_task("", total=len(jobs), visible=len(jobs) > 1)
        for job in jobs:
            bar = progress.add_task(job.source.name, total=None)
            try:
                _restore_file(job, restorer, progress, bar, settings=settings, options=options)
            except (ValueError, OSError, RuntimeError, MemoryError) as error:
                failures.append(_named(error, job))
            progress.remove_task(bar)
            progress.advance(overall)
    for failure in failures:
        complain(failure)
    if failures and len(jobs) > 1:
        complain(f"{len(failures)} of {len(jobs)} images failed")
    return FAILED if failures else 0


def open_model(model: str | None, *, scale: int | None, device: str, backend: str = "auto") -> Restorer:
    """Load a model by name or file; of none, the nano of the scale. UsageError when its scale is another.

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
    restorer = load(model, device=device)
    if scale not in (None, restorer.scale):
        raise UsageError(f"--scale {scale}: {model} is a model of scale {restorer.scale}")
    return restorer


def _shipped_of(scale: int) -> str:
    name, known = f"nano-x{scale}", shipped()
    if name not in known:
        raise UsageError(
            f"--scale {scale}: no model of that scale ships ({', '.join(known)} do); give a --model"
        )
    return name


def _check_amounts(settings: Settings) -> None:
    """UsageError, once and before any image is read, for an amount that no image could be restored with."""
    for name in ("effort", "strength"):
        value = getattr(settings, name)
        if not 0 <= value <= 1:
            raise UsageError(f"--{name} {value} must be in [0, 1]")


def _restore_file(
    job: Job,
    restorer: Restorer,
    progress: Progress,
    bar: TaskID,
    *,
    settings: Settings,
    options: dict[str, Any],
) -> None:
    picture = read_arrays(job.source)
    if settings.strip:
        picture = strip(picture)
    height, width = (side * restorer.scale for side in picture.colour.shape[-2:])
    check_writable(job.target, picture, height=height, width=width, quality=settings.quality)
    restored = restorer.picture(
        picture,
        on_tile=lambda done, total: progress.update(bar, completed=done, total=total),
        **options,
    )
    job.target.parent.mkdir(parents=True, exist_ok=True)
    write_picture(job.target, restored, quality=settings.quality)
    with _above(progress):
        name = os.fsencode(job.target).decode(errors="backslashreplace")
        sys.stdout.write(f"{name}  {width} x {height}\n")
        sys.stdout.flush()


def _form(settings: Settings) -> str:
    """The suffix of results without a name of their own."""
    suffix = f".{settings.format.lower().lstrip('.')}"
    if suffix not in IMAGE_SUFFIXES:
        known = ", ".join(known.lstrip(".") for known in IMAGE_SUFFIXES)
        raise UsageError(f"--format {settings.format!r} must be one of {known}")
    if not 1 <= settings.quality <= 100:
        raise UsageError(f"--quality {settings.quality} must be in [1, 100]")
    return suffix


def _check_tile(tile: int | str, restorer: Restorer) -> None:
    """UsageError before the first image for a tile that no image could be cut into."""
    if isinstance(tile, int) and tile < restorer.smallest_tile():
        least = restorer.smallest_tile()
        raise UsageError(f"--tile {tile} must be at least {least} for {restorer.facts.name}")


def _tile(text: str) -> int | str:
    if text in ("auto", "off"):
        return text
    if not text.isdecimal():
        raise UsageError(f"--tile {text!r} must be auto, off or a number of pixels")
    return int(text)


def _named(error: BaseException, job: Job) -> str:
    message = str(error) or type(error).__name__
    return message if str(job.source) in message or str(job.target) in message else f"{job.source}: {message}"


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
