"""Runs as plain Ray tasks, one process a run, on whatever machines a Ray cluster has.

All of them must see the study's folder, the photos and the package under the same paths.
"""

import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hfmoe.ablate.engine import Ended, Hear, StudyInterrupted, how_ended, job_of, start, stop
from hfmoe.ablate.plan import Run
from hfmoe.ablate.study import Evaluation
from hfmoe.batch.cluster import unhindered
from hfmoe.runtime.machine import processors
from hfmoe.train.hardware import StopWish

PAUSE = 0.5


class Room(NamedTuple):
    """Processors and GPUs that a machine has, or that a run takes."""

    processors: float
    gpus: float

    def fits(self, machine: "Room") -> bool:
        """Tell whether a machine has so much."""
        return self.processors <= machine.processors and self.gpus <= machine.gpus


def run_on_ray(
    runs: Sequence[Run], evaluation: Evaluation, *, workers: int | None, address: str | None, hear: Hear
) -> list[Ended]:
    """Do runs as Ray tasks: at most `workers` at a time, or as many as there are processors for.

    Without an address a Ray of this machine is started and ended. StudyInterrupted once all have saved.
    """
    import ray

    if address:
        ray.init(address=address, log_to_driver=False)
    else:
        unhindered()
        threads = max(map(_threads, runs), default=1)
        cores = workers * threads if workers else max(processors(), threads)
        ray.init(address="local", num_cpus=cores, include_dashboard=False, log_to_driver=False)
    try:
        machines = [
            Room(node["Resources"].get("CPU", 0), node["Resources"].get("GPU", 0))
            for node in ray.nodes()
            if node["Alive"]
        ]
        check_room(runs, machines)
        return _run(ray, runs, evaluation, machines=machines, workers=workers or len(runs), hear=hear)
    finally:
        ray.shutdown()


def _run(
    ray: Any,
    runs: Sequence[Run],
    evaluation: Evaluation,
    *,
    machines: Sequence[Room],
    workers: int,
    hear: Hear,
) -> list[Ended]:
    waiting, going, ended = list(runs), {}, []
    with StopWish() as wish:
        while waiting or going:
            while waiting and len(going) < workers:
                run = waiting.pop(0)
                needs = needs_of(run, machines)
                task = ray.remote(num_cpus=needs.processors, num_gpus=needs.gpus, max_calls=1, max_retries=0)(
                    perform
                )
                hear("begins", run, None)
                _begun_file(run).unlink(missing_ok=True)
                _stop_file(run).unlink(missing_ok=True)
                going[task.remote(job_of(run, evaluation), str(_stop_file(run)), str(_begun_file(run)))] = run
            if wish.signal is not None:
                waiting.clear()
                for task, run in list(going.items()):
                    ask_to_stop(run)
                    if not _begun_file(run).exists():  # it waits for a processor, maybe for ever
                        ray.cancel(task)
                        del going[task]
            done, _ = ray.wait(list(going), timeout=PAUSE) if going else ([], [])
            for task in done:
                run = going.pop(task)
                ended.append(how_ended(run, _status(ray, task)))
                hear("ends", run, ended[-1])
        if wish.signal is not None:
            raise StudyInterrupted(wish.signal)
    return ended


def perform(job: dict[str, Any], stop_file: str, begun_file: str) -> int:
    """Do one run in a process of its own and give its exit status; a file that appears asks it to stop."""
    if Path(stop_file).exists():
        return 128 + signal.SIGINT
    Path(begun_file).parent.mkdir(parents=True, exist_ok=True)
    Path(begun_file).touch()
    process = start(job)
    try:
        while True:
            try:
                status = process.wait(timeout=PAUSE)
                break
            except subprocess.TimeoutExpired:
                if Path(stop_file).exists():
                    stop([process])
    finally:
        stop([process])
    for file in (stop_file, begun_file):
        Path(file).unlink(missing_ok=True)
    return status


def ask_to_stop(run: Run) -> None:
    """Leave the file that asks a run to stop, also where its task has not begun and made no folder yet."""
    file = _stop_file(run)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()


def _stop_file(run: Run) -> Path:
    return run.folder.resolve() / "stop"


def _begun_file(run: Run) -> Path:
    return run.folder.resolve() / "begun"


def _threads(run: Run) -> int:
    return run.recipe.hardware.threads or 1


def needs_of(run: Run, machines: Sequence[Room]) -> Room:
    """What a run takes: its threads, and a GPU where it asks for one or, left to choose, could have one."""
    accelerator = run.recipe.hardware.accelerator
    with_gpu = Room(_threads(run), 1)
    automatic = accelerator == "auto" and any(map(with_gpu.fits, machines))
    return with_gpu if automatic or accelerator in ("cuda", "gpu") else Room(_threads(run), 0)


def check_room(runs: Sequence[Run], machines: Sequence[Room]) -> None:
    """ValueError where no machine has what a run takes: Ray would wait for one without a word."""
    for run in runs:
        needs = needs_of(run, machines)
        if not any(map(needs.fits, machines)):
            gpu = " and a GPU" if needs.gpus else ""
            raise ValueError(
                f"{run.label}: no machine of the cluster has {needs.processors:g} processors{gpu}, which "
                "hardware.threads and hardware.accelerator ask for"
            )


def _status(ray: Any, task: Any) -> int:
    """Give what the task returned; one that Ray lost, with its machine, counts as killed."""
    try:
        return ray.get(task)
    except ray.exceptions.RayError:
        return -signal.SIGKILL
