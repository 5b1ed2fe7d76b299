"""Several processes that share a run: the same weights as one, and an end for all when one fails."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import hfmoe
from hfmoe.models.weights import load_weights
from hfmoe.train import Recipe, train
from hfmoe.train.run_log import read_records

Make = Callable[..., Recipe]

STEADY: dict[str, Any] = {"perturb": {}, "batch": 4, "steps": 12, "optimizer": {"lr": 5e-3}}
"""Fields of a run without draws inside the network: those differ between processes."""

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
"""torchrun with a port of its own: by default all on a machine share one."""

TOLERANCE = 2e-5
"""Between weights of the same run in one process and in two, after 12 steps of up to 5e-3 each."""


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_weights(run / "last.safetensors").network.state_dict()


def furthest(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    assert one.keys() == other.keys()
    return max((one[name] - other[name]).abs().max().item() for name in one)


def start(recipe: Recipe, *fields: str, launcher: Sequence[str] = ()) -> subprocess.Popen[str]:
    """Train in processes of their own by the command line."""
    plain = recipe.run.parent / f"{recipe.run.name}.json"
    plain.write_text(json.dumps(recipe.as_data()))
    return subprocess.Popen(
        [sys.executable, *launcher, "-m", "hfmoe", "train", str(plain), *fields],
        env={**os.environ, "PYTHONPATH": str(Path(hfmoe.__file__).parents[1]), "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def command(recipe: Recipe, *fields: str, launcher: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """Train in processes of their own until they end; all of them are killed where they do not."""
    process = start(recipe, *fields, launcher=launcher)
    try:
        message = process.communicate(timeout=300)[1]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail(f"still running after 300 s; it said: {process.communicate()[1]}")
    return subprocess.CompletedProcess(process.args, process.returncode, stderr=message)


def wait_for_record(run: Path, process: subprocess.Popen[str]) -> None:
    """Wait until a run has written its first record."""
    deadline = time.monotonic() + 120
    while not ((run / "metrics.jsonl").exists() and (run / "metrics.jsonl").read_text()):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)


def ended(number: int) -> bool:
    """Wait until a process is gone."""
    for _ in range(600):
        try:
            state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
def test_two_processes_give_the_weights_of_one_and_torchrun_starts_the_same_run(make: Make, tmp_path: Path):
    runs = [make(**STEADY, run=str(tmp_path / name)) for name in ("one", "two", "torchrun")]
    one, two, torchrun = runs
    train(one)
    done = command(two, "--hardware.devices", "2")
    assert done.returncode == 0, done.stderr
    assert 0 < furthest(weights(one.run), weights(two.run)) < TOLERANCE
    logs = [read_records(run / "metrics.jsonl").records for run in (one.run, two.run)]
    steps = [[record for record in records if record["kind"] == "train"] for records in logs]
    assert [records[0]["processes"] for records in logs] == [1, 2]
    for alone, shared in zip(*steps, strict=True):
        assert shared["step"] == alone["step"]
        assert shared["loss"] == pytest.approx(alone["loss"], rel=1e-3)
        assert shared["load"][0] == pytest.approx(alone["load"][0], abs=1e-6)
    assert done.stderr.count("step 4/12") == 1
    done = command(torchrun, launcher=TORCHRUN)
    assert done.returncode == 0, done.stderr
    assert furthest(weights(two.run), weights(torchrun.run)) == 0
    state = torch.load(torchrun.run / "last.ckpt", weights_only=True)
    assert json.loads(state["recipe"])["hardware"]["devices"] == 2


def test_a_batch_in_parts_gives_the_weights_of_the_whole(make: Make, tmp_path: Path):
    fields = {**STEADY, "balance_weight": 0}
    hardware = {"accelerator": "cpu", "threads": 1}
    whole = make(**fields, run=str(tmp_path / "whole"))
    parts = make(**fields, run=str(tmp_path / "parts"), hardware={**hardware, "accumulate": 4})
    train(whole)
    train(parts)
    assert 0 < furthest(weights(whole.run), weights(parts.run)) < TOLERANCE


@pytest.mark.slow
def test_sharded_weights_train_like_whole_ones_and_resume_in_any_number_of_processes(
    make: Make, data: dict[str, Any], photos: Path, tmp_path: Path
):
    fields = {
        **STEADY,
        "optimizer": {"lr": 5e-3, "kind": "muon"},
        "network": {**data["network"], "top_k": 2},
        "validation": {"folder": str(photos), "every": 6, "images": 1},
    }
    one, shards = (make(**fields, run=str(tmp_path / name)) for name in ("one", "shards"))
    train(one)
    sharded = ("--hardware.devices", "2", "--hardware.strategy", "fsdp")
    stopped = command(shards, *sharded, "--time_limit_minutes", "1e-9")
    assert stopped.returncode == 0, stopped.stderr
    assert torch.load(shards.run / "last.ckpt", weights_only=True)["step"] == 1
    done = command(shards, *sharded, "--resume")
    assert done.returncode == 0, done.stderr
    assert 0 < furthest(weights(one.run), weights(shards.run)) < TOLERANCE
    states = [torch.load(run / "last.ckpt", weights_only=True) for run in (one.run, shards.run)]
    for part in ("network", "average"):
        assert furthest(states[0][part], states[1][part]) < TOLERANCE
    assert states[0]["best"] == pytest.approx(states[1]["best"], abs=0.01)
    longer = make(**{**fields, "steps": 14}, run=str(shards.run))
    assert train(longer, resume=True, change=True).step == 14


@pytest.mark.slow
def test_sharded_weights_train_where_processes_choose_different_experts(make: Make):
    recipe = make(batch=2, steps=6, patch=16)
    done = command(
        recipe, "--hardware.devices", "2", "--hardware.strategy", "fsdp", "--hardware.accumulate=1"
    )
    assert done.returncode == 0, done.stderr
    assert all(weight.isfinite().all() for weight in weights(recipe.run).values())


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["first", "second"])
def test_a_process_that_dies_ends_the_run_with_an_error(make: Make, victim: str):
    recipe = make(batch=2, steps=100_000, log={"every": 1})
    process = start(recipe, "--hardware.devices", "2")
    try:
        wait_for_record(recipe.run, process)
        (second,) = map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())
        os.kill(process.pid if victim == "first" else second, signal.SIGKILL)
        process.communicate(timeout=60)
        assert process.returncode != 0
        assert ended(second)
    finally:
        process.kill()


@pytest.mark.slow
def test_an_error_in_the_first_process_is_said_once_and_ends_all(make: Make):
    recipe = make(batch=2)
    recipe.run.mkdir()
    (recipe.run / "recipe.yaml").write_text("{}")
    done = command(recipe, "--hardware.devices", "2")
    assert done.returncode == 1
    assert done.stderr.count("already holds a run") == 1


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_sigterm_to_the_first_process_saves_and_ends_all(make: Make, strategy: str):
    recipe = make(batch=2, steps=100_000, log={"every": 1})
    process = start(recipe, "--hardware.devices", "2", "--hardware.strategy", strategy)
    try:
        wait_for_record(recipe.run, process)
        process.terminate()
        message = process.communicate(timeout=60)[1]
        assert process.returncode == 128 + signal.SIGTERM, message
    finally:
        process.kill()
    assert message.count("hfmoe:") == message.count("stopped by SIGTERM") == 1
    assert torch.load(recipe.run / "last.ckpt", weights_only=True)["step"] > 0


@pytest.mark.slow
def test_two_processes_train_the_discriminator_of_one(make: Make, tmp_path: Path):
    gan = {"loss": [{"kind": "l1"}, {"kind": "adversarial"}], "discriminator": {"width": 4}}
    one, two = (make(**STEADY, **gan, run=str(tmp_path / name)) for name in ("one", "two"))
    train(one)
    done = command(two, "--hardware.devices", "2")
    assert done.returncode == 0, done.stderr
    assert 0 < furthest(weights(one.run), weights(two.run)) < TOLERANCE
    states = (torch.load(run / "last.ckpt", weights_only=True)["adversary"] for run in (one.run, two.run))
    assert furthest(*(state["network"] for state in states)) < TOLERANCE
