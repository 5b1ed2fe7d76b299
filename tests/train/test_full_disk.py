"""A disk that takes no more: said, tried again, the last good state unharmed, and no false end."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import hfmoe
from hfmoe.cli.app import run as command
from hfmoe.models.weights import load_weights
from hfmoe.train import Recipe, checkpoints, train
from hfmoe.train.checkpoints import CheckpointError, load_checkpoint, mark_good, save_checkpoint
from hfmoe.train.run_log import Journal, read_records

Make = Callable[..., Recipe]

SYNC = os.fsync
FULL = OSError(28, "No space left on device")


def full_from(recipe: Recipe, first: int, until: float = float("inf")) -> Callable[[int], None]:
    """Give an fsync that fails while the log of a run holds so many steps."""

    def fsync(file: int) -> None:
        log = recipe.run / "metrics.jsonl"
        steps = log.read_text().count('"kind": "train"') if log.exists() else 0
        if first <= steps < until:
            raise FULL
        SYNC(file)

    return fsync


def test_a_disk_full_for_a_while_is_told_and_the_run_ends_well(
    make: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    recipe = make(checkpoint_minutes=0, log={"every": 1})
    monkeypatch.setattr(checkpoints.os, "fsync", full_from(recipe, 5, 8))
    assert train(recipe).finished
    told = [
        record for record in read_records(recipe.run / "metrics.jsonl").records if record["kind"] == "fault"
    ]
    assert [record["step"] for record in told] == [5, 6, 7]
    assert "the state after step 5 could not be saved" in told[0]["what"]
    assert "No space left on device" in told[0]["what"]
    assert "fault at step 5: the state after step 5 could not be saved" in capsys.readouterr().err
    assert torch.load(recipe.run / "last.ckpt", weights_only=True)["step"] == 12


def test_a_disk_full_to_the_end_fails_the_run_and_spares_the_last_state(
    make: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    recipe = make(checkpoint_minutes=0, log={"every": 1})
    plain = tmp_path / "recipe.json"
    plain.write_text(json.dumps(recipe.as_data()))
    monkeypatch.setattr(checkpoints.os, "fsync", full_from(recipe, 5))
    assert command(["train", str(plain)]) == 1
    assert "hfmoe: the state after step 12 could not be saved" in capsys.readouterr().err
    assert torch.load(recipe.run / "last.ckpt", weights_only=True)["step"] == 4
    assert not list(recipe.run.glob("*.part"))
    monkeypatch.undo()
    assert train(recipe, resume=True).finished


def test_a_finished_run_whose_state_finds_no_room_still_leaves_its_weights(
    make: Make, monkeypatch: pytest.MonkeyPatch
):
    def refuse(path: Path, state: object) -> None:
        raise CheckpointError(f"{path} could not be written: No space left on device")

    recipe = make()
    monkeypatch.setattr(checkpoints, "save_checkpoint", refuse)
    with pytest.raises(CheckpointError, match="the state after step 12 could not be saved.*; there is none"):
        train(recipe)
    assert load_weights(recipe.run / "last.safetensors").facts.name == recipe.name


def test_a_run_that_stops_for_its_time_says_that_its_state_is_lost(
    make: Make, monkeypatch: pytest.MonkeyPatch
):
    recipe = make(time_limit_minutes=1e-9)
    monkeypatch.setattr(checkpoints.os, "fsync", full_from(recipe, 1))
    with pytest.raises(CheckpointError, match="the state after step 1 could not be saved"):
        train(recipe)


def test_no_file_may_grow_and_the_run_ends_with_one_clear_line(make: Make, tmp_path: Path):
    recipe = make(log={"every": 1})
    plain = tmp_path / "recipe.json"
    plain.write_text(json.dumps(recipe.as_data()))
    limit = 6000
    done = subprocess.run(
        [sys.executable, "-m", "hfmoe", "train", str(plain)],
        env={**os.environ, "PYTHONPATH": str(Path(hfmoe.__file__).parents[1]), "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "last.ckpt could not be written: File too large" in done.stderr
    assert "last.safetensors could not be written: File too large" in done.stderr
    assert done.stderr.endswith("File too large; there is none\n")
    assert done.stderr.splitlines()[-1].startswith("hfmoe: the state after step 12 could not be saved")
    assert not (recipe.run / "last.ckpt").exists()
    assert read_records(recipe.run / "metrics.jsonl").damaged == 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_records_that_found_no_room_follow_with_the_next_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    told: list[str] = []
    metrics = tmp_path / "metrics.jsonl"
    with Journal(metrics, tmp_path / "board", step=0, complain=told.append) as journal:
        journal.write({"kind": "train", "step": 1, "lr": 0.1})
        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", no_room(Path.open, metrics))
            journal.write({"kind": "train", "step": 2, "lr": 0.1})
            journal.write({"kind": "train", "step": 3, "lr": 0.1})
        assert [record["step"] for record in read_records(metrics).records] == [1]
        journal.write({"kind": "train", "step": 4, "lr": 0.1})
    assert [record["step"] for record in read_records(metrics).records] == [1, 2, 3, 4]
    assert told == [f"{metrics} takes no records: No space left on device; tried again later"]


def no_room(opened: Callable[..., Any], path: Path) -> Callable[..., Any]:
    """Wrap Path.open so that one file cannot be opened for appending."""

    def opening(self: Path, mode: str = "r", *rest: Any, **named: Any) -> Any:
        if self == path and "a" in mode:
            raise FULL
        return opened(self, mode, *rest, **named)

    return opening


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_that_cannot_begin_is_told_once_and_begun_when_it_can(tmp_path: Path):
    told: list[str] = []
    board = tmp_path / "board"
    board.write_text("a file where a folder should be")
    with Journal(tmp_path / "metrics.jsonl", board, step=0, complain=told.append) as journal:
        journal.write({"kind": "train", "step": 1, "lr": 0.1})
        journal.write({"kind": "train", "step": 2, "lr": 0.1})
        board.unlink()
        for step in (3, 4):
            journal.write({"kind": "train", "step": step, "lr": 0.1})
    assert len(told) == 1
    assert str(board) in told[0]
    assert len(list(board.iterdir())) == 1
    assert len(read_records(tmp_path / "metrics.jsonl").records) == 4


def test_a_state_marked_as_good_stays_when_the_last_is_written_anew(tmp_path: Path):
    last, good = tmp_path / "last.ckpt", tmp_path / "good.ckpt"
    for step in (1, 2):
        save_checkpoint(last, {"step": step})
        for _ in range(2):
            mark_good(last, good)
    save_checkpoint(last, {"step": 3})
    assert [load_checkpoint(path)["step"] for path in (last, good)] == [3, 2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["good.ckpt", "last.ckpt"]
