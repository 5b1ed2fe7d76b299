"""Runs as plain Ray tasks, one process a run, on whatever machines a Ray cluster has.

All of them must see the study's folder, the photos and the package under the same paths.
"""

import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hfmoe.ablate.plan import Run
from hfmoe.ablate.study import Scoring
from hfmoe.ablate.worker import ask_to_stop, job_of, start_process
from hfmoe.batch.cluster import unhindered
from hfmoe.runtime.machine import processors

PAUSE = 0.5


class Room(NamedTuple):
    """Processors and GPUs that a machine has, or that a run takes."""

    processors: float
    gpus: float

    def fits(self, machine: "Room") -> bool:
        """Return whether a machine has so much."""
        return self.processors <= machine.processors and self.gpus <= machine.gpus


class RayExecutor:
    """Executes runs as Ray tasks: at most `workers` at a time, or as many as there are processors for.

    Without an address a Ray of this machine is started and ended.
    """

    def __init__(self, workers: int | None = None, address: str | None = None) -> None:
        self._asked, self._address = workers, address
        self._ray: Any = None
        self._machines: list[Room] = []
        self._running: dict[Any, Run] = {}
        self.workers = workers or 1

    def open(self, runs: Sequence[Run]) -> None:
        """Connect, or start a Ray. Raises ValueError where no machine has what a run takes."""
        import ray

        if self._address:
            ray.init(address=self._address, log_to_driver=False)
        else:
            unhindered()
            threads = max(map(_threads, runs), default=1)
            cores = self._asked * threads if self._asked else max(processors(), threads)
            ray.init(address="local", num_cpus=cores, include_dashboard=False, log_to_driver=False)
        self._ray = ray
        self._machines = [
            Room(node["Resources"].get("CPU", 0), node["Resources"].get("GPU", 0))
            for node in ray.nodes()
            if node["Alive"]
        ]
        self.workers = self._asked or max(1, len(runs))
        check_room(runs, self._machines)

    def start(self, run: Run, evaluation: Scoring) -> None:
        """Hand a run to the cluster."""
        needs = needs_of(run, self._machines)
        task = self._ray.remote(num_cpus=needs.processors, num_gpus=needs.gpus, max_calls=1, max_retries=0)(
            perform
        )
        begun, stop = _begun_file(run), _stop_file(run)
        begun.unlink(missing_ok=True)
        stop.unlink(missing_ok=True)
        self._running[task.remote(job_of(run, evaluation), str(stop), str(begun))] = run

    def wait(self) -> list[tuple[Run, int]]:
        """Wait a moment; return the runs that ended and the exit statuses of their processes."""
        if not self._running:
            return []
        done, _ = self._ray.wait(list(self._running), timeout=PAUSE)
        return [(self._running.pop(task), self._status(task)) for task in done]

    def stop(self) -> list[Run]:
        """Ask all to save and end; return those that wait for a processor, maybe for ever."""
        waiting = []
        for task, run in list(self._running.items()):
            leave_stop_file(run)
            if not _begun_file(run).exists():
                self._ray.cancel(task)
                waiting.append(self._running.pop(task))
        return waiting

    def close(self) -> None:
        """Leave the cluster."""
        if self._ray is not None:
            self._ray.shutdown()

    def _status(self, task: Any) -> int:
        """Return the exit status of a task; one that Ray lost, with its machine, counts as killed."""
        try:
            return self._ray.get(task)
        except self._ray.exceptions.RayError:
            return -signal.SIGKILL


def perform(job: dict[str, Any], stop_file: str, begun_file: str) -> int:
    """Do one run in a process of its own and return its exit status; a file that appears asks it to stop."""
    if Path(stop_file).exists():
        return 128 + signal.SIGINT
    Path(begun_file).parent.mkdir(parents=True, exist_ok=True)
    Path(begun_file).touch()
    process = start_process(job)
    try:
        while True:
            try:
                status = process.wait(timeout=PAUSE)
                break
            except subprocess.TimeoutExpired:
                if Path(stop_file).exists():
                    ask_to_stop(process)
    finally:
        ask_to_stop(process)
    for file in (stop_file, begun_file):
        Path(file).unlink(missing_ok=True)
    return status


def leave_stop_file(run: Run) -> None:
    """Leave the file that asks a run to stop, also where its task has not begun and made no folder yet."""
    file = _stop_file(run)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()


def needs_of(run: Run, machines: Sequence[Room]) -> Room:
    """Return its threads, and a GPU where a run asks for one or, left to choose, could have one."""
    accelerator = run.recipe.hardware.accelerator
    with_gpu = Room(_threads(run), 1)
    automatic = accelerator == "auto" and any(map(with_gpu.fits, machines))
    return with_gpu if automatic or accelerator in ("cuda", "gpu") else Room(_threads(run), 0)


def check_room(runs: Sequence[Run], machines: Sequence[Room]) -> None:
    """Raise ValueError where no machine has what a run takes: Ray would wait for one without a word."""
    for run in runs:
        needs = needs_of(run, machines)
        if not any(map(needs.fits, machines)):
            gpu = " and a GPU" if needs.gpus else ""
            raise ValueError(
                f"{run.label}: no machine of the cluster has {needs.processors:g} processors{gpu}, which "
                "hardware.threads and hardware.accelerator ask for"
            )


def _stop_file(run: Run) -> Path:
    return run.folder.resolve() / "stop"


def _begun_file(run: Run) -> Path:
    return run.folder.resolve() / "begun"


def _threads(run: Run) -> int:
    return run.recipe.hardware.threads or 1
