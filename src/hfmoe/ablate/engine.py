"""Runs as processes of this machine, a few at a time, each of which is asked to save when all must stop."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hfmoe.ablate.plan import Run
from hfmoe.ablate.standing import RunFiles, read_json
from hfmoe.ablate.study import Evaluation
from hfmoe.ablate.worker import DIVERGED
from hfmoe.train.hardware import StopWish

PAUSE = 0.1


@dataclass(frozen=True)
class Ended:
    """How the process of a run ended: its exit status, and why it failed ("" where it did not)."""

    run: Run
    status: int
    reason: str = ""

    @property
    def stopped(self) -> bool:
        """Whether it was asked to stop and saved its state."""
        return self.status in (128 + signal.SIGTERM, 128 + signal.SIGINT)


class StudyInterrupted(Exception):  # noqa: N818 (like KeyboardInterrupt, it is no error)
    """A study was asked to stop, its runs saved their states; `signal` says by what."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}; the same command goes on")
        self.signal = number


Hear = Callable[[str, Run, Ended | None], None]
"""Hears ("begins", run, None) and ("ends", run, how)."""


def run_locally(runs: Sequence[Run], evaluation: Evaluation, *, workers: int, hear: Hear) -> list[Ended]:
    """Do runs in at most `workers` processes at a time. Raises StudyInterrupted once all have saved."""
    waiting, going, ended = list(runs), {}, []
    with StopWish() as wish:
        try:
            while waiting or going:
                while waiting and len(going) < workers:
                    run = waiting.pop(0)
                    hear("begins", run, None)
                    going[run.label] = (run, start(job_of(run, evaluation)))
                for label, (run, process) in list(going.items()):
                    if process.poll() is not None:
                        del going[label]
                        ended.append(how_ended(run, process.returncode))
                        hear("ends", run, ended[-1])
                if wish.signal is not None:
                    waiting.clear()
                    stop([process for _, process in going.values()])
                time.sleep(PAUSE)
        finally:
            stop([process for _, process in going.values()])
        if wish.signal is not None:
            raise StudyInterrupted(wish.signal)
    return ended


def job_of(run: Run, evaluation: Evaluation) -> dict[str, Any]:
    """Give what the process of a run is told, as plain values."""
    settings = run.settings()
    return {
        "recipe": settings["recipe"],
        "settings": settings,
        "from": str(Path.cwd()),
        "evaluation": evaluation.model_dump(mode="json"),
    }


def start(job: dict[str, Any]) -> subprocess.Popen[str]:
    """Start the process of a run, out of reach of the terminal's Ctrl-C; what it says goes to output.log."""
    recipe = job["recipe"]
    files = RunFiles(Path(job["from"]) / recipe["run"])
    files.folder.mkdir(parents=True, exist_ok=True)
    threads = str(recipe["hardware"]["threads"] or 1)
    with files.log.open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "hfmoe.ablate.worker"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            cwd=job["from"],
            env={**os.environ, "OMP_NUM_THREADS": threads},
        )
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(job) + "\n")
        process.stdin.flush()
    except BrokenPipeError:
        process.wait()
    return process


def how_ended(run: Run, status: int) -> Ended:
    """Say how the process of a run ended, by its status and by what it left."""
    files = RunFiles(run.folder)
    if status == 0:
        return Ended(run, 0)
    if status < 0:
        status = 128 - status
        if status in (128 + signal.SIGTERM, 128 + signal.SIGINT):
            return Ended(run, status)
        return Ended(run, status, f"ended by {signal.Signals(status - 128).name}")
    failure = read_json(files.failure)
    if failure is not None and status in (1, DIVERGED):
        return Ended(run, status, str(failure.get("reason")))
    return Ended(run, status, _last_line(files) if status < 128 else "")


def stop(processes: Sequence[subprocess.Popen[str]]) -> None:
    """Ask processes to save and end: once, however often it is called."""
    for process in processes:
        if process.poll() is None and process.stdin is not None and not process.stdin.closed:
            process.stdin.close()


def _last_line(files: RunFiles) -> str:
    lines = files.log.read_text("utf-8", errors="replace").strip().splitlines() if files.log.exists() else []
    return lines[-1] if lines else "it ended without a word"
