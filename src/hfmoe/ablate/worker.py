"""The process of one run: a job as one line of JSON on stdin; it trains, scores, and leaves files.

It ends itself when stdin closes: whoever started it is gone, even if by a kill that nobody can catch.
Exit status: 0 done, 3 diverged, 128 + signal when stopped with its state saved, 1 failed.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hfmoe.ablate.run_state import RunFiles
from hfmoe.ablate.scoring import score_run
from hfmoe.ablate.study import Scoring
from hfmoe.runtime.files import BusyError, locked, read_json, write_json
from hfmoe.runtime.machine import code_version, machine
from hfmoe.runtime.memory import reuse_memory
from hfmoe.train import NonFiniteError, Recipe, TrainingInterrupted, make_recipe, train

DIVERGED = 3
PATIENCE = 120.0
"""Seconds that a run waits for an earlier process of its own that is still saving."""


def do(job: dict[str, Any]) -> None:
    """Train and score a run as far as that is not done; what was done before is not done again."""
    recipe = make_recipe(job["recipe"])
    files = RunFiles(recipe.run)
    files.folder.mkdir(parents=True, exist_ok=True)
    with locked(files.lock, patience=PATIENCE):
        files.failure.unlink(missing_ok=True)
        if read_json(files.trained) is None:
            write_json(files.settings, job["settings"])
            write_json(files.trained, trained(recipe))
        evaluation = Scoring.model_validate(job["evaluation"])
        write_json(files.scores, score_run(recipe, evaluation))


def trained(recipe: Recipe) -> dict[str, Any]:
    """Train, or resume, and return what it took."""
    resume = (recipe.run / "recipe.yaml").exists()
    result = train(recipe, resume=resume)
    return {
        "steps": result.step,
        "processor_seconds": result.spent,
        "best": result.best,
        "code": code_version(),
        "machine": machine().to_dict(),
    }


def guarded(work: Callable[[], None], files: RunFiles) -> int:
    """Do the work of a run and give the exit status; a failure is left in its folder."""
    try:
        work()
    except TrainingInterrupted as stopped:
        return 128 + stopped.signal
    except NonFiniteError as error:
        write_json(files.failure, {"status": "diverged", "reason": str(error)})
        return DIVERGED
    except BusyError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except Exception as error:
        write_json(files.failure, {"status": "failed", "reason": reason_of(error)})
        raise
    return 0


def reason_of(error: Exception) -> str:
    """Return why a run failed: our own errors are sentences, before others' words stands their class."""
    kind, words = type(error), " ".join(str(error).split())
    ours = kind.__module__.partition(".")[0] == "hfmoe"
    return words if ours and words else f"{kind.__name__}: {words}".removesuffix(": ")


def follow(stdin: int) -> None:
    """Ask this process to stop, as a signal would, once stdin ends."""

    def wait() -> None:
        while os.read(stdin, 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True, name="parent").start()


def main() -> None:
    """Do the job on stdin."""
    reuse_memory()
    job = json.loads(sys.stdin.readline())
    follow(sys.stdin.fileno())
    sys.exit(guarded(lambda: do(job), RunFiles(Path(job["recipe"]["run"]))))


if __name__ == "__main__":
    main()
