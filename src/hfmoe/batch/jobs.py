"""Restoring many files: each is read, restored and written beside the others, and what is done is skipped."""

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from hfmoe.batch.manifest import MANIFEST, Manifest
from hfmoe.batch.naming import READ_WITH_PAGES, WITH_PAGES, Naming, Selection
from hfmoe.batch.pipeline import Pipeline
from hfmoe.batch.planning import Job, plan_jobs
from hfmoe.batch.settings import Settings
from hfmoe.batch.work import Done, OnBegin, Work
from hfmoe.image.files import IMAGE_SUFFIXES, READ_SUFFIXES
from hfmoe.infer.api import DEFAULT_MODEL, load
from hfmoe.infer.backends.opening import exported_digest, is_exported
from hfmoe.infer.memory import CPU, free_bytes
from hfmoe.infer.restorer import Restorer
from hfmoe.models.header import file_sha256, find_weights
from hfmoe.runtime.files import remove_unfinished

WORKERS = 2
"""Threads that read, and as many that write: together they keep up with a small network."""
AHEAD = 0.25
"""Share of free memory that pictures on their way may take."""


class Failed(NamedTuple):
    """A picture without a result, and why, in one line that names the file."""

    job: Job
    reason: str


@dataclass
class Summary:
    """What became of a job's pictures."""

    done: list[Done] = field(default_factory=list)
    skipped: list[Job] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)


OnEnd = Callable[[Done | Failed], None]


def restore_files(
    inputs: Sequence[Path | str] | Path | str,
    output: Path | str | None = None,
    *,
    model: str | Path | Restorer = DEFAULT_MODEL,
    format: str = "png",
    name: str | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    recursive: bool = True,
    workers: int = WORKERS,
    redo: bool = False,
    device: str = "auto",
    on_end: OnEnd | None = None,
    **settings: Any,
) -> Summary:
    """Restore files, folders (with their trees) and patterns, as `hfmoe restore` does.

    output: a file for one file, a folder otherwise; None writes beside a file and into `<folder>-x4/`. name:
    such as "{stem}_x{scale}{suffix}", see Naming; include, exclude: see Selection; settings: see Settings.
    What an earlier or interrupted call did of the same sources with the same settings is skipped, or redone.
    A bad file stops no other and is in the summary. Raises PlanError for inputs and outputs that contradict
    each other, WeightsError for a model that cannot be used.
    """
    restorer = model if isinstance(model, Restorer) else load(model, device=device)
    places = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    chosen = Settings(**settings)
    known = written_suffixes(chosen)
    naming = make_naming(restorer, suffix=f".{format.lower().lstrip('.')}", pattern=name, known=known)
    selection = Selection(include, exclude, recursive, searched_suffixes(chosen))
    jobs = plan_jobs(places, None if output is None else str(output), naming=naming, selection=selection)
    return run_jobs(
        jobs, restorer, chosen, model=model_digest(model), workers=workers, redo=redo, on_end=on_end
    )


def searched_suffixes(settings: Settings) -> tuple[str, ...]:
    """Suffixes of the files that folders are searched for."""
    return READ_WITH_PAGES if settings.pages else READ_SUFFIXES


def written_suffixes(settings: Settings) -> tuple[str, ...]:
    """Suffixes that results may have."""
    return WITH_PAGES if settings.pages else IMAGE_SUFFIXES


def make_naming(
    restorer: Restorer, *, suffix: str, pattern: str | None = None, known: Sequence[str] = IMAGE_SUFFIXES
) -> Naming:
    """How a model's results are called. Raises ValueError for a suffix that is none of the known."""
    if suffix not in known:
        raise ValueError(f"format {suffix!r} must be one of {', '.join(known)}")
    mark = f"-x{restorer.scale}" if restorer.scale > 1 else "-restored"
    return Naming(mark, suffix, pattern, restorer.scale, restorer.facts.name, known)


def model_digest(model: str | Path | Restorer) -> str:
    """What tells a model from another: of a file its sha256, of an open one its name and what runs it."""
    if isinstance(model, Restorer):
        return f"{model.facts.name} {model.config} {model.engine.identity}"
    if is_exported(model):
        return exported_digest(model)
    return file_sha256(find_weights(model))


def run_jobs(
    jobs: Sequence[Job],
    restorer: Restorer,
    settings: Settings,
    *,
    model: str = "",
    workers: int = WORKERS,
    redo: bool = False,
    on_begin: OnBegin | None = None,
    on_end: OnEnd | None = None,
) -> Summary:
    """Do all jobs but those that their folder's manifest has; model: what tells it from others.

    on_begin is called before the network sees a picture, on_end with each result or failure; both in the
    caller's thread. An interrupt ends it when what is being written is whole; the manifest says what is done.
    """
    summary = Summary()

    def end(job: Job, outcome: Done | Exception) -> None:
        if isinstance(outcome, Exception):
            ended = Failed(job, _sentence(outcome, job))
            if job.root is not None:
                with suppress(OSError):
                    manifests[job.root].add_failure(job.source, job.target, ended.reason)
            summary.failed.append(ended)
        else:
            summary.done.append(ended := outcome)
        if on_end:
            on_end(ended)

    with ExitStack() as stack:
        about = {"model": model, "scale": restorer.scale, **settings.of_results()}
        roots = dict.fromkeys(job.root for job in jobs if job.root is not None)
        manifests = {root: stack.enter_context(Manifest(root / MANIFEST, about)) for root in roots}
        todo = []
        for job in jobs:
            is_done = job.root is not None and not redo and manifests[job.root].has(job.source, job.target)
            (summary.skipped if is_done else todo).append(job)
        remove_unfinished(job.target for job in todo if job.root is not None)
        work = Work(restorer, settings, manifests, model, on_begin)
        room = int(free_bytes(CPU) * AHEAD)
        Pipeline(work.steps(), workers=workers, room=room, on_end=end).run(todo)
    return summary


def _sentence(error: Exception, job: Job) -> str:
    message = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.filename and error.strerror:
        message = f"{os.fsdecode(error.filename)}: {error.strerror}"
    return message if str(job.source) in message or str(job.target) in message else f"{job.source}: {message}"
