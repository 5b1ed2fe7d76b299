"""Runs as processes of this machine, each of which is asked to save its state when all must stop."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hfmoe.ablate.plan import Run
from hfmoe.ablate.run_state import RunFiles
from hfmoe.ablate.study import Scoring

PAUSE = 0.1


class LocalExecutor:
    """Executes at most `workers` runs at a time, each in a process."""

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers
        self._running: dict[str, tuple[Run, subprocess.Popen[str]]] = {}

    def open(self, runs: Sequence[Run]) -> None:
        """Make ready for runs."""

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
        """Ask all to save and end, however often it is called; return those that will never begin."""
        for _, process in self._running.values():
            ask_to_stop(process)
        return []

    def close(self) -> None:
        """Let go of whatever still runs: it saves and ends."""
        self.stop()


def job_of(run: Run, evaluation: Scoring) -> dict[str, Any]:
    """Return what the process of a run is told, as plain values."""
    settings = run.settings()
    return {
        "recipe": settings["recipe"],
        "settings": settings,
        "from": str(Path.cwd()),
        "evaluation": evaluation.model_dump(mode="json"),
    }


def start_process(job: dict[str, Any]) -> subprocess.Popen[str]:
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


def ask_to_stop(process: subprocess.Popen[str]) -> None:
    """Ask a process to save and end: once, however often it is called."""
    if process.poll() is None and process.stdin is not None and not process.stdin.closed:
        process.stdin.close()
