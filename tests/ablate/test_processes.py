"""A study in real processes: killed, interrupted and run by Ray, it ends as one that was left alone."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import hfmoe
from hfmoe.ablate.plan import plan
from hfmoe.ablate.study import Study
from hfmoe.models.weights import load_weights
from hfmoe.train import train

PATIENCE = 600.0


def start(study: Study, path: Path, *options: str, **environment: str) -> subprocess.Popen[str]:
    """Do a study by the command line."""
    path.write_text(yaml.safe_dump(study.model_dump(mode="json")))
    return subprocess.Popen(
        [sys.executable, "-m", "hfmoe", "ablate", str(path), *options],
        env={**os.environ, "PYTHONPATH": str(Path(hfmoe.__file__).parents[1]), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def steps_of(folder: Path) -> int:
    """Count the steps in the log of a run."""
    log = folder / "metrics.jsonl"
    return log.read_text().count('"kind": "train"') if log.exists() else 0


def wait_for(folder: Path, step: int, process: subprocess.Popen[str]) -> None:
    """Wait until the log of a run has reached a step."""
    deadline = time.monotonic() + PATIENCE
    while steps_of(folder) < step:
        assert process.poll() is None, "the study ended before it could be killed"
        assert time.monotonic() < deadline, f"no step {step} in {folder}"
        time.sleep(0.05)


def patient(data: dict[str, Any]) -> dict[str, Any]:
    """The fields of a study whose runs last long enough to be stopped."""
    recipe = {**data["recipe"], "checkpoint_minutes": 0, "log": {"every": 1}}
    latency = {"size": 32, "rounds": 3}
    return {"recipe": recipe, "budget": {"steps": 60}, "seeds": [3], "latency": latency}


@pytest.mark.slow
def test_a_study_that_is_killed_and_interrupted_ends_in_the_bits_of_runs_that_were_not(
    make: Callable[..., Study], data: dict[str, Any], tmp_path: Path
):
    study = make(**patient(data), variants={"full": {}})
    (run,) = plan(study)
    path = tmp_path / "study.yaml"
    for number, step in ((signal.SIGKILL, 12), (signal.SIGINT, 30)):
        process = start(study, path)
        wait_for(run.folder, step, process)
        process.send_signal(number)
        said = process.communicate(timeout=PATIENCE)[1]
        assert process.returncode == (-9 if number == signal.SIGKILL else 130), said
        assert 0 < steps_of(run.folder) < 60
    process = start(study, path)
    out, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
    assert out.strip().endswith("report.html")
    sessions = (run.folder / "metrics.jsonl").read_text().count('"kind": "session"')
    assert sessions == 3
    other = run.recipe.model_copy(update={"run": tmp_path / "alone"})
    train(other)
    one, two = (
        load_weights(each / "last.safetensors").network.state_dict() for each in (run.folder, other.run)
    )
    assert all(one[name].equal(two[name]) for name in one)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs ray")
def test_ray_does_the_runs_that_processes_do(
    make: Callable[..., Study], data: dict[str, Any], tmp_path: Path
):
    recipe = {**data["recipe"], "validation": {"every": 100}}
    study = make(recipe=recipe, seeds=[0], latency={"size": 32, "rounds": 3})
    process = start(study, tmp_path / "study.yaml", "--engine", "ray", "--workers", "2")
    out, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
    found = json.loads((study.folder / "results.json").read_text())
    assert [[run["state"] for run in row["runs"]] for row in found["variants"]] == [["done"], ["done"]]
