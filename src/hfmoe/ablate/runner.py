"""Runner of a study: does the runs that are left on an executor, measures and compares."""

import signal
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from hfmoe.ablate.cost_cache import MeasuredCost, cached_costs, known_costs, measured_where
from hfmoe.ablate.local_runner import LocalExecutor
from hfmoe.ablate.plan import Run
from hfmoe.ablate.preflight import check_photos, check_study, recipes_of, runs_left
from hfmoe.ablate.ray_runner import RayExecutor
from hfmoe.ablate.results import Results, gather
from hfmoe.ablate.run_state import RunFiles, next_action
from hfmoe.ablate.study import Scoring, Study
from hfmoe.ablate.worker import DIVERGED
from hfmoe.runtime.files import locked, read_json
from hfmoe.train.hardware import StopSignal


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
        """Ask all to save and end; return those that will never begin."""
        ...

    def close(self) -> None:
        """Let go of whatever still runs."""
        ...


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


def execute(runs: Sequence[Run], evaluation: Scoring, executor: Executor, *, notify: Notify) -> None:
    """Do runs, as many at a time as the executor takes. Raises StudyInterrupted once all have saved."""
    waiting, running = list(runs), set[str]()
    try:
        executor.open(runs)
        with StopSignal() as wish:
            while waiting or running:
                while waiting and len(running) < executor.workers:
                    run = waiting.pop(0)
                    notify(run, next_action(run))
                    executor.start(run, evaluation)
                    running.add(run.label)
                if wish.signal is not None:
                    waiting.clear()
                    running -= {run.label for run in executor.stop()}
                for run, status in executor.wait():
                    running.remove(run.label)
                    notify(run, how_ended(run, status))
            if wish.signal is not None:
                raise StudyInterrupted(wish.signal)
    finally:
        executor.close()


def how_ended(run: Run, status: int) -> str:
    """Return how the process of a run ended, by its status and by what it left."""
    files = RunFiles(run.folder)
    if status == 0:
        return "done"
    number = -status if status < 0 else status - 128
    if number in (signal.SIGTERM, signal.SIGINT):
        return "stopped"
    if status < 0:
        return f"failed: ended by {signal.Signals(number).name}"
    failure = read_json(files.failure)
    if failure is not None and status in (1, DIVERGED):
        return f"failed: {failure.get('reason')}"
    return f"failed: {_last_line(files) if status < 128 else ''}"


def _last_line(files: RunFiles) -> str:
    lines = files.log.read_text("utf-8", errors="replace").strip().splitlines() if files.log.exists() else []
    return lines[-1] if lines else "it ended without a word"


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
            measured = costs_of(study)
            remarks = measured_where(measured)
        except RuntimeError as error:
            measured = known_costs(study, recipes_of(study))
            remarks = [f"{error}.", *measured_where(measured)]
        costs = {name: each.cost for name, each in measured.items()}
        return gather(study, runs, costs, remarks=remarks)


def costs_of(study: Study, *, renew: bool = False) -> dict[str, MeasuredCost]:
    """Return what the variants cost: measured now where that is not known yet, or all with `renew`.

    Raises RuntimeError when measuring fails, BusyError with `renew` while the study is at work.
    """
    if not renew:
        return cached_costs(study, recipes_of(study))
    study.folder.mkdir(parents=True, exist_ok=True)
    with locked(study.folder / ".lock"):
        return cached_costs(study, recipes_of(study), renew=True)
