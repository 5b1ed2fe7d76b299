"""Runner of a study: checks it, does the runs that are left on an executor, measures and compares.

Everything that would stop a run later is looked for before anything trains.
"""

import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from hfmoe.ablate.costs import MeasuredCost, cached_costs, known_costs, measured_where
from hfmoe.ablate.plan import Run, plan
from hfmoe.ablate.ray_runner import RayExecutor
from hfmoe.ablate.results import Results, gather
from hfmoe.ablate.run_state import next_action, runs_left
from hfmoe.ablate.study import Scoring, Study, StudyError
from hfmoe.ablate.worker import ask_to_stop, how_ended, job_of, protocol_of, start_process
from hfmoe.data.sources import find_sources
from hfmoe.evaluate.scores import load_distances
from hfmoe.runtime.files import locked
from hfmoe.train import Recipe
from hfmoe.train.hardware import StopSignal
from hfmoe.train.learner import build_network
from hfmoe.train.validation import read_examples

PAUSE = 0.1


class StudyInterrupted(Exception):  # noqa: N818 (like KeyboardInterrupt, it is no error)
    """A study was asked to stop, its runs saved their states; `signal` says by what."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}; the same command goes on")
        self.signal = number


Notify = Callable[[Run, str], None]
"""Called with a run and what it does at its start, then how it ended: "done", "stopped", "failed: why"."""


@runtime_checkable
class Executor(Protocol):
    """Where runs take place: processes of this machine, or the tasks of a Ray cluster."""

    @property
    def workers(self) -> int:
        """Runs at a time at most, once it is open."""
        ...

    def open(self, runs: Sequence[Run]) -> None:
        """Make ready for runs."""
        ...

    def start(self, run: Run, evaluation: Scoring) -> None:
        """Start a run."""
        ...

    def wait(self) -> list[tuple[Run, int]]:
        """Wait a moment; return the runs that ended and the exit statuses of their processes."""
        ...

    def stop(self) -> list[Run]:
        """Ask all to save and end, however often it is called; return those that will never begin."""
        ...

    def close(self) -> None:
        """Let go of whatever still runs."""
        ...


class LocalExecutor:
    """Executes at most `workers` runs at a time, each in a process of this machine."""

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers
        self._running: dict[str, tuple[Run, subprocess.Popen[str]]] = {}

    def open(self, runs: Sequence[Run]) -> None:
        """Make nothing ready: processes need nothing."""

    def start(self, run: Run, evaluation: Scoring) -> None:
        """Start the process of a run."""
        self._running[run.label] = (run, start_process(job_of(run, evaluation)))

    def wait(self) -> list[tuple[Run, int]]:
        """Wait a moment; return the runs that ended and the exit statuses of their processes."""
        ended = [
            (run, process.returncode) for run, process in self._running.values() if process.poll() is not None
        ]
        for run, _ in ended:
            del self._running[run.label]
        if not ended:
            time.sleep(PAUSE)
        return ended

    def stop(self) -> list[Run]:
        """Ask all to save and end; none waits to begin."""
        for _, process in self._running.values():
            ask_to_stop(process)
        return []

    def close(self) -> None:
        """Let go of whatever still runs: it saves and ends."""
        self.stop()


def make_executor(
    engine: str = "local", *, workers: int | None = None, address: str | None = None
) -> Executor:
    """Return the executor of an engine, "local" or "ray"; address: that of a Ray cluster.

    Raises ValueError for another engine, no workers, or an address that is not of Ray.
    """
    if engine not in ("local", "ray"):
        raise ValueError(f"engine {engine!r} must be one of local, ray")
    if workers is not None and workers < 1:
        raise ValueError(f"workers {workers} must be at least 1")
    if address is not None and engine != "ray":
        raise ValueError("address is that of a Ray cluster: it needs --engine ray")
    return RayExecutor(workers, address) if engine == "ray" else LocalExecutor(workers or 1)


def do_study(study: Study, *, executor: Executor, anew: bool, notify: Notify) -> Results:
    """Do what is left of a study, measure networks that were not measured, and compare.

    One such work at a time in a folder. Raises StudyError, StudyInterrupted and BusyError.
    """
    study.folder.mkdir(parents=True, exist_ok=True)
    with locked(study.folder / ".lock"):
        runs = check_study(study)
        left = runs_left(study, runs, anew=anew)
        if left:
            check_photos(study, runs[0].recipe)
            execute(left, study.evaluate, executor, notify=notify)
        try:
            measured, remarks = costs_of(study), []
        except RuntimeError as error:
            measured, remarks = known_costs(study, recipes_of(study)), [f"{error}."]
        costs = {name: each.cost for name, each in measured.items()}
        return gather(study, runs, costs, remarks=[*remarks, *measured_where(measured)])


def costs_of(study: Study, *, renew: bool = False) -> dict[str, MeasuredCost]:
    """Return what the variants cost: measured now where that is not known yet, or all with `renew`.

    Raises RuntimeError when measuring fails, BusyError with `renew` while the study is at work.
    """
    if not renew:
        return cached_costs(study, recipes_of(study))
    study.folder.mkdir(parents=True, exist_ok=True)
    with locked(study.folder / ".lock"):
        return cached_costs(study, recipes_of(study), renew=True)


def recipes_of(study: Study) -> dict[str, Recipe]:
    """Return each variant's recipe, checked, its network built once. Raises StudyError and ExternalError."""
    recipes: dict[str, Recipe] = {}
    for run in plan(study):
        recipes.setdefault(run.variant, run.recipe)
    for name, recipe in recipes.items():
        try:
            build_network(recipe)
        except (ValueError, TypeError, RuntimeError) as error:
            raise StudyError(f"variant {name}: {error}") from error
    return recipes


def check_study(study: Study) -> tuple[Run, ...]:
    """Return the runs of a study that can be scored. Raises StudyError for one that scores nothing."""
    if not study.evaluate.sets:
        raise StudyError("evaluate.sets names no folder to score on: --evaluate.sets.NAME FOLDER")
    for name, place in study.evaluate.sets.items():
        if not place.is_dir():
            raise StudyError(f"evaluate.sets.{name}: {place} is no folder")
    recipes = recipes_of(study)
    try:
        protocol_of(next(iter(recipes.values())), study.evaluate)
    except ValueError as error:
        raise StudyError(str(error)) from error
    return plan(study)


def check_photos(study: Study, recipe: Recipe) -> None:
    """Open once what every run would only miss when it begins, or when it has trained and is to be scored.

    Raises StudyError, naming the field, for a place without photos, an evaluation image that cannot be
    scored, and weights of a score that cannot be read.
    """
    protocol = protocol_of(recipe, study.evaluate)
    with _errors_of("train" if study.train else "recipe.train"):
        find_sources(recipe.train)
    with _errors_of("validation" if study.validation else "recipe.validation.folder"):
        read_examples(recipe)
    with _errors_of("evaluate.lpips or evaluate.dists"):
        load_distances(study.evaluate.lpips, study.evaluate.dists)
    for name, folder in study.evaluate.sets.items():
        with _errors_of(f"evaluate.sets.{name}"):
            deque(protocol.pairs(folder), maxlen=0)


@contextmanager
def _errors_of(field: str) -> Iterator[None]:
    """Put before what goes wrong the field of the study that it came from."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise StudyError(f"{field}: {error}") from error


def execute(runs: Sequence[Run], evaluation: Scoring, executor: Executor, *, notify: Notify) -> None:
    """Do runs, as many at a time as the executor takes. Raises StudyInterrupted once all have saved."""
    waiting, running = list(runs), set[str]()
    try:
        executor.open(runs)
        with StopSignal() as stop:
            while waiting or running:
                while waiting and len(running) < executor.workers:
                    run = waiting.pop(0)
                    notify(run, next_action(run))
                    executor.start(run, evaluation)
                    running.add(run.label)
                if stop.signal is not None:
                    waiting.clear()
                    running -= {run.label for run in executor.stop()}
                for run, status in executor.wait():
                    running.remove(run.label)
                    notify(run, how_ended(run, status))
            if stop.signal is not None:
                raise StudyInterrupted(stop.signal)
    finally:
        executor.close()
