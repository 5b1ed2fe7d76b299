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
        ray.init(address="local", num_cpus=workers, include_dashboard=False, log_to_driver=False)
    try:
        return _run(ray, runs, evaluation, workers=workers or len(runs), hear=hear)
    finally:
        ray.shutdown()


def _run(ray: Any, runs: Sequence[Run], evaluation: Evaluation, *, workers: int, hear: Hear) -> list[Ended]:
    waiting, going, ended = list(runs), {}, []
    with StopWish() as wish:
        while waiting or going:
            while waiting and len(going) < workers:
                run = waiting.pop(0)
                task = ray.remote(num_cpus=run.recipe.hardware.threads or 1, max_calls=1, max_retries=0)(
                    perform
                )
                hear("begins", run, None)
                going[task.remote(job_of(run, evaluation), str(_stop_file(run)))] = run
            if wish.signal is not None:
                waiting.clear()
                for run in going.values():
                    ask_to_stop(run)
            done, _ = ray.wait(list(going), timeout=PAUSE) if going else ([], [])
            for task in done:
                run = going.pop(task)
                ended.append(how_ended(run, _status(ray, task)))
                hear("ends", run, ended[-1])
        if wish.signal is not None:
            raise StudyInterrupted(wish.signal)
    return ended


def perform(job: dict[str, Any], stop_file: str) -> int:
    """Do one run in a process of its own and give its exit status; a file that appears asks it to stop."""
    Path(stop_file).unlink(missing_ok=True)
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
    Path(stop_file).unlink(missing_ok=True)
    return status


def ask_to_stop(run: Run) -> None:
    """Leave the file that asks a run to stop, also where its task has not begun and made no folder yet."""
    file = _stop_file(run)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()


def _stop_file(run: Run) -> Path:
    return run.folder.resolve() / "stop"


def _status(ray: Any, task: Any) -> int:
    """Give what the task returned; one that Ray lost, with its machine, counts as killed."""
    try:
        return ray.get(task)
    except ray.exceptions.RayError:
        return -signal.SIGKILL
