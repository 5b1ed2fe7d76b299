"""Jobs: what is planned and not done goes to an executor, threads here or Ray; what is done, to manifests."""

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from hfmoe.batch.cluster import Cluster, pack, run_on_cluster
from hfmoe.batch.manifest import MANIFEST, Manifest
from hfmoe.batch.pipeline import Pipeline, Steps
from hfmoe.batch.planning import Job, NotTaken, Place, plan_jobs
from hfmoe.batch.settings import Naming, Selection, Settings
from hfmoe.batch.work import OnBegin, PictureWork, Result
from hfmoe.image.files import ImageError, printable, read_facts
from hfmoe.image.streaming import LARGEST
from hfmoe.infer.api import check_scale, load, model_of_scale, photo_scale
from hfmoe.infer.backends.exported import exported_digest, is_exported
from hfmoe.infer.memory import CPU, free_bytes
from hfmoe.infer.restorer import Restorer
from hfmoe.models.header import file_sha256, find_weights
from hfmoe.runtime.files import remove_unfinished

WORKERS = 2
"""Threads that read, and as many that write: together they keep up with a small network."""
AHEAD = 0.25
"""Share of free memory that pictures on their way may take."""


class Done(NamedTuple):
    """A picture that was restored and written, and its new size in pixels.

    missing: of a damaged source that was kept, the share of its rows that were not decoded.
    """

    job: Job
    width: int
    height: int
    missing: float | None = None


class Failed(NamedTuple):
    """A picture without a result, and why, in one line that names the file."""

    job: Job
    reason: str


@dataclass
class JobSummary:
    """Outcome of a job: pictures done, failed, skipped and left out.

    left_out: results beside their sources, which are no sources; not_taken: images by their content alone.
    """

    done: list[Done] = field(default_factory=list)
    skipped: list[Job] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    left_out: list[Place] = field(default_factory=list)
    not_taken: list[NotTaken] = field(default_factory=list)

    def add(self, other: "JobSummary") -> None:
        """Add what became of further pictures."""
        self.done += other.done
        self.skipped += other.skipped
        self.failed += other.failed
        self.left_out += other.left_out
        self.not_taken += other.not_taken


OnEnd = Callable[[Done | Failed], None]


class Manifests:
    """The manifests of all folders that jobs write to; a job without such a folder is always to be done."""

    def __init__(self, jobs: Sequence[Job], about: dict[str, Any]) -> None:
        roots = dict.fromkeys(job.root for job in jobs if job.root is not None)
        with ExitStack() as stack:
            self._of = {root: stack.enter_context(Manifest(root / MANIFEST, about)) for root in roots}
            self._open = stack.pop_all()

    def __enter__(self) -> "Manifests":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def has(self, job: Job) -> bool:
        """True where an earlier run did a job with the same settings."""
        return job.root is not None and self._of[job.root].has(Path(job.source), Path(job.target))

    def add(self, job: Job, result: Result) -> Done:
        """Write down a result; from any thread. Raises OSError."""
        if job.root is not None:
            source, target = Path(job.source), Path(job.target)
            self._of[job.root].add(source, target, read=result.read, seconds=result.seconds)
        return Done(job, result.width, result.height, result.missing)

    def fail(self, job: Job, error: Exception) -> Failed:
        """Write down a failure, where the disk takes it."""
        failed = Failed(job, _sentence(error, job))
        if job.root is not None:
            with suppress(OSError):
                self._of[job.root].add_failure(Path(job.source), Path(job.target), failed.reason)
        return failed


Execute = Callable[[Sequence[Job], Manifests, Callable[[Job, Done | Exception], None]], None]
"""Does jobs, adds each result to the manifests, and tells in the caller's thread how each ended."""


def run_jobs(
    jobs: Sequence[Job],
    execute: Execute,
    *,
    about: dict[str, Any],
    redo: bool = False,
    on_end: OnEnd | None = None,
) -> JobSummary:
    """Do all jobs but those that their folder's manifest has; about: what results depend on.

    on_end is called in this thread with each result or failure. An interrupt ends it when what is being
    written is whole; the manifests say what is done.
    """
    summary = JobSummary()
    with Manifests(jobs, about) as manifests:

        def end(job: Job, outcome: Done | Exception) -> None:
            if isinstance(outcome, Exception):
                summary.failed.append(ended := manifests.fail(job, outcome))
            else:
                summary.done.append(ended := outcome)
            if on_end:
                on_end(ended)

        todo = []
        for job in jobs:
            (summary.skipped if not redo and manifests.has(job) else todo).append(job)
        targets = [Path(job.target) for job in todo if job.root is not None]
        remove_unfinished(targets)  # of an earlier run that was killed
        if todo:
            execute(todo, manifests, end)
        remove_unfinished(targets)  # of workers that were killed
    return summary


def run_here(
    jobs: Sequence[Job],
    restorer: Restorer,
    settings: Settings,
    *,
    model: str = "",
    workers: int = WORKERS,
    redo: bool = False,
    on_begin: OnBegin | None = None,
    on_end: OnEnd | None = None,
) -> JobSummary:
    """Do jobs in this process: threads read and write, the caller's runs the network.

    model: what tells it from others; on_begin is called before the network sees a picture.
    """
    work = PictureWork(restorer, settings, model, on_begin)

    def execute(todo: Sequence[Job], manifests: Manifests, end: Callable[[Job, Any], None]) -> None:
        write = lambda job, restored: manifests.add(job, work.write(job, restored))  # noqa: E731
        steps = Steps(work.cost, work.read, work.restore, write)
        room = int(free_bytes(CPU) * AHEAD)
        Pipeline(steps, workers=workers, room=room, on_end=end).run(todo)

    about = {"model": model, "scale": restorer.scale, **settings.of_results()}
    return run_jobs(jobs, execute, about=about, redo=redo, on_end=on_end)


def run_on_ray(
    jobs: Sequence[Job],
    model: str,
    settings: Settings,
    *,
    scale: int,
    cluster: Cluster,
    redo: bool = False,
    on_end: OnEnd | None = None,
) -> JobSummary:
    """Do jobs over the workers of a Ray cluster: each once, whatever workers die.

    Raises ImportError without Ray, RuntimeError when no worker can be had.
    """
    packed = pack(model, digest=model_digest(model))

    def execute(todo: Sequence[Job], manifests: Manifests, end: Callable[[Job, Any], None]) -> None:
        for job, outcome in run_on_cluster(todo, packed, settings, cluster):
            try:
                end(job, outcome if isinstance(outcome, Exception) else manifests.add(job, outcome))
            except OSError as error:
                end(job, OSError(f"{job.target}: {error}"))

    about = {"model": packed.digest, "scale": scale, **settings.of_results()}
    return run_jobs(jobs, execute, about=about, redo=redo, on_end=on_end)


def restore_files(
    inputs: Sequence[Path | str] | Path | str,
    output: Path | str | None = None,
    *,
    model: str | Path | Restorer | None = None,
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
) -> JobSummary:
    """Restore files, folders (with their trees) and patterns, as `hfmoe restore` does.

    output: a file for one file, a folder otherwise; None writes beside a file and into `<folder>-x4/`. model:
    None takes the photo model of scale 4, or by scale, width, height and fit as the command does (see
    Settings). name: such as "{stem}_x{scale}{suffix}", see Naming; include, exclude: see Selection; settings:
    see Settings.
    What an earlier or interrupted call did of the same sources with the same settings is skipped, or redone.
    A bad file stops no other and is in the summary. Raises PlanError for inputs and outputs that contradict
    each other, WeightsError for a model that cannot be used.
    """
    chosen = Settings(**settings)
    selection = Selection(include, exclude, recursive, chosen.read_suffixes)
    first = model or model_of_scale(chosen.scale)
    restorer = first if isinstance(first, Restorer) else load(first, device=device)
    check_scale(restorer, chosen.scale, restorer.facts.name)
    naming = make_naming(restorer, chosen, format=format, pattern=name, chosen_by_size=model is None)
    summary = JobSummary()
    jobs = _plan(inputs, output, naming, selection, summary)
    by_size = model is None and chosen.choose_model
    for scale, group in by_scale(jobs, chosen).items() if by_size else ((restorer.scale, jobs),):
        if scale != restorer.scale:
            first = model_of_scale(scale)
            restorer = load(first, device=device)
        digest = model_digest(first)
        part = run_here(group, restorer, chosen, model=digest, workers=workers, redo=redo, on_end=on_end)
        summary.add(part)
    return summary


def by_scale(jobs: Sequence[Job], settings: Settings) -> dict[int, list[Job]]:
    """The jobs by the scale of the smallest model, of at least 2, that makes the size of their results.

    A picture whose header cannot be read is with the first; reading it says why.
    """
    assert settings.size is not None
    groups: dict[int, list[Job]] = {}
    for job in jobs:
        try:
            least = settings.size.least_scale(*read_facts(Path(job.source), max_pixels=LARGEST).upright)
        except (ImageError, OSError):
            least = 2
        groups.setdefault(photo_scale(least), []).append(job)
    return dict(sorted(groups.items()))


def restore_on_ray(
    inputs: Sequence[Path | str] | Path | str,
    output: Path | str | None = None,
    *,
    model: str | Path | None = None,
    format: str = "png",
    name: str | None = None,
    selection: Selection | None = None,
    cluster: Cluster | None = None,
    redo: bool = False,
    on_end: OnEnd | None = None,
    **settings: Any,
) -> JobSummary:
    """Restore files, folders, patterns and addresses as `hfmoe restore --engine ray` does.

    Arguments as those of `restore_files`, errors as those of `run_on_ray` and `plan_jobs`.
    """
    chosen = Settings(**settings)
    model = model or model_of_scale(chosen.scale)
    restorer = load(model, device="cpu")
    check_scale(restorer, chosen.scale, model)
    selection = replace(selection or Selection(), suffixes=chosen.read_suffixes)
    naming = make_naming(restorer, chosen, format=format, pattern=name)
    summary = JobSummary()
    jobs = _plan(inputs, output, naming, selection, summary)
    where, scale = cluster or Cluster(), restorer.scale
    summary.add(run_on_ray(jobs, str(model), chosen, scale=scale, cluster=where, redo=redo, on_end=on_end))
    return summary


def _plan(
    inputs: Sequence[Path | str] | Path | str,
    output: Path | str | None,
    naming: Naming,
    selection: Selection,
    summary: JobSummary,
) -> list[Job]:
    places = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    target, noted = None if output is None else str(output), (summary.left_out, summary.not_taken)
    return plan_jobs(
        places, target, naming=naming, selection=selection, left_out=noted[0], not_taken=noted[1]
    )


def make_naming(
    restorer: Restorer,
    settings: Settings,
    *,
    format: str = "png",
    pattern: str | None = None,
    chosen_by_size: bool = False,
) -> Naming:
    """Names of a model's results. Raises ValueError for a format that is not written.

    chosen_by_size: no model was named, so where sizes choose it, none is in the names.
    """
    suffix, known = f".{format.lower().lstrip('.')}", settings.written_suffixes
    if suffix not in known:
        names = ", ".join(each.lstrip(".") for each in known)
        raise ValueError(f"format {format!r} must be one of {names}")
    mark = f"-x{restorer.scale}" if restorer.scale > 1 else "-restored"
    if settings.size is not None:
        mark = f"-{settings.size.mark}"
    model = "nano" if chosen_by_size and settings.choose_model else restorer.facts.name
    return Naming(mark, suffix, pattern, restorer.scale, model, known, settings.size)


def model_digest(model: str | Path | Restorer) -> str:
    """Identity of a model: of a file its sha256, of an open one its name and what runs it."""
    if isinstance(model, Restorer):
        return f"{model.facts.name} {model.geometry} {model.engine.identity}"
    if is_exported(model):
        return exported_digest(model)
    return file_sha256(find_weights(model))


def _sentence(error: Exception, job: Job) -> str:
    message = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.filename and error.strerror:
        message = f"{os.fsdecode(error.filename)}: {error.strerror}"
    names = [*map(str, (job.source, job.target)), *map(printable, (job.source, job.target))]
    return message if any(name in message for name in names) else f"{job.source}: {message}"
