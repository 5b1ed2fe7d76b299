"""Runs as plain Ray tasks, one process a run, on whatever machines a Ray cluster has.

All of them must see the study's folder, the photos and the package under the same paths.
"""

import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hfmoe.ablate.engine import Ended, Hear, StudyInterrupted, how_ended, job_of, start, stop
from hfmoe.ablate.plan import Run
from hfmoe.ablate.study import Evaluation
from hfmoe.batch.cluster import unhindered
from hfmoe.infer.threads import processors
from hfmoe.train.interrupt import StopWish

PAUSE = 0.5


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
        _check_room(ray, runs)
        return _run(ray, runs, evaluation, workers=workers or len(runs), hear=hear)
    finally:
        ray.shutdown()


def _run(ray: Any, runs: Sequence[Run], evaluation: Evaluation, *, workers: int, hear: Hear) -> list[Ended]:
    waiting, going, ended = list(runs), {}, []
    with StopWish() as wish:
        while waiting or going:
            while waiting and len(going) < workers:
                run = waiting.pop(0)
                needs = {"num_cpus": _threads(run), "num_gpus": _gpus(ray, run)}
                task = ray.remote(**needs, max_calls=1, max_retries=0)(perform)
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


def _gpus(ray: Any, run: Run) -> int:
    """A GPU for a run that is to have one, or that takes what there is."""
    accelerator = run.recipe.hardware.accelerator
    there = ray.cluster_resources().get("GPU", 0) > 0
    return int(accelerator in ("cuda", "gpu") or (accelerator == "auto" and there))


def _check_room(ray: Any, runs: Sequence[Run]) -> None:
    """ValueError where no machine has the processors of a run: Ray would wait for one without a word."""
    most = max((node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]), default=0)
    for run in runs:
        if _threads(run) > most:
            raise ValueError(
                f"{run.label}: hardware.threads {_threads(run)} must be at most {most:g}, "
                "the processors of the largest machine"
            )


def _status(ray: Any, task: Any) -> int:
    """Give what the task returned; one that Ray lost, with its machine, counts as killed."""
    try:
        return ray.get(task)
    except ray.exceptions.RayError:
        return -signal.SIGKILL
