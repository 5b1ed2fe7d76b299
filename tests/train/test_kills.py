"""A run that is killed again and again ends in the bits of one that was not.

HFMOE_KILLS=20 pytest tests/train/test_kills.py kills twenty times, HFMOE_KILLS_SEED at other moments.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import hfmoe
from hfmoe.train import Recipe, train

KILLS = int(os.environ.get("HFMOE_KILLS", "3"))
STEPS_A_KILL = 20
MARGIN = 12
"""Steps at the end of a run that no kill is meant for: it would come when the run has ended."""
PATIENCE = 300.0


@pytest.mark.slow
def test_a_run_killed_at_random_moments_ends_in_the_bits_of_one_that_was_not(
    make: Callable[..., Recipe], photos: Path, tmp_path: Path
):
    fields: dict[str, Any] = {
        "steps": STEPS_A_KILL * (KILLS + 1),
        "log": {"every": 1, "samples_every": 5},
        "checkpoint_minutes": 0,
        "patch": [[0, 16], [0.3, 32]],
        "optimizer": {"decay": 0.5},
        "validation": {"folder": str(photos), "every": 7, "images": 1, "crop": 64},
    }
    whole, killed = (make(**fields, run=str(tmp_path / name)) for name in ("whole", "killed"))
    train(whole)
    kill_often(killed, kills=KILLS, moments=random.Random(int(os.environ.get("HFMOE_KILLS_SEED", "0"))))
    states = [torch.load(recipe.run / "last.ckpt", weights_only=True) for recipe in (whole, killed)]
    assert equal(*({**state, "recipe": "", "spent": 0} for state in states))
    for kind, fact in (("train", "loss"), ("validation", "psnr_y")):
        one, other = (facts(recipe.run, kind, fact) for recipe in (whole, killed))
        assert one == other


def kill_often(recipe: Recipe, *, kills: int, moments: random.Random) -> None:
    """Start a run, kill it at a random moment, start it again, and let it end after the last kill."""
    plain = recipe.run.parent / "recipe.json"
    plain.write_text(json.dumps(recipe.as_data()))
    for left in range(kills, 0, -1):
        number = moments.choice((signal.SIGKILL, signal.SIGTERM))
        process = start(recipe, plain)
        if moments.random() < 0.25:
            time.sleep(moments.uniform(0, 4))
        else:
            done = steps_of(recipe.run)
            room = max(1, 2 * (recipe.steps - done - MARGIN) // (left + 1))
            wait_for(recipe.run, done + moments.randint(1, room), process)
            time.sleep(moments.uniform(0, 0.05))
        process.send_signal(number)
        message = process.communicate(timeout=PATIENCE)[1]
        assert process.returncode in (-number, 128 + number), message
    process = start(recipe, plain)
    assert process.communicate(timeout=PATIENCE)[1] is not None
    assert process.returncode == 0


def start(recipe: Recipe, plain: Path) -> subprocess.Popen[str]:
    """Start a run by the command line, or go on with it where there is one."""
    resume = ["--resume"] if (recipe.run / "recipe.yaml").exists() else []
    return subprocess.Popen(
        [sys.executable, "-m", "hfmoe", "train", str(plain), *resume],
        env={**os.environ, "PYTHONPATH": str(Path(hfmoe.__file__).parents[1])},
        stderr=subprocess.PIPE,
        text=True,
    )


def steps_of(run: Path) -> int:
    """Count the steps in the log of a run."""
    log = run / "metrics.jsonl"
    return log.read_text().count('"kind": "train"') if log.exists() else 0


def wait_for(run: Path, step: int, process: subprocess.Popen[str]) -> None:
    """Wait until the log of a run has reached a step."""
    deadline = time.monotonic() + PATIENCE
    while steps_of(run) < step:
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline, f"no step {step} in {run}"
        time.sleep(0.002)


def facts(run: Path, kind: str, fact: str) -> list[tuple[int, Any]]:
    """Give one fact of every record of a kind, with its step."""
    records = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [(record["step"], record[fact]) for record in records if record["kind"] == kind]


def equal(one: Any, other: Any) -> bool:
    """Tell whether two nested states hold the same bits."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other
