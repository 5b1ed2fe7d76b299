"""`hfmoe train` from outside: fields on the command line, a stop, going on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

from hfmoe.cli.app import run
from hfmoe.image.files import Picture, write_picture
from hfmoe.models.weights import load_weights
from hfmoe.train import batches

NETWORK = {
    "dim": 8, "low_dims": [8], "head_dim": 8, "encoder_blocks": [1], "decoder_blocks": [],
    "experts": [0.5, 1.0], "texture_blocks": 1, "texture_hidden": 8,
    "dynamic_width": 4, "dynamic_groups": 2, "cross_dim": 4, "cross_stride": 1,
}  # fmt: skip


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    write_picture(folder / "a.png", Picture(torch.rand(3, 64, 80)))
    fields = {
        "name": "mine",
        "preset": "nano-x2",
        "network": NETWORK,
        "train": str(folder),
        "run": str(tmp_path / "run"),
        "steps": 50,
        "batch": 1,
        "patch": 16,
        "hardware": {"accelerator": "cpu", "threads": 1},
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(fields))
    return tmp_path / "recipe.yaml"


def test_fields_before_and_after_the_resume_flag_reach_the_run(recipe: Path):
    folder = recipe.parent / "run"
    common = ["--steps", "4", "--optimizer.lr=2e-3"]
    assert run(["train", str(recipe), *common, "--time-limit-minutes", "1e-9"]) == 0
    assert torch.load(folder / "last.ckpt", weights_only=True)["step"] == 1
    assert run(["train", str(recipe), "--steps", "4", "--resume", "--optimizer.lr=2e-3"]) == 0
    trained = load_weights(folder / "last.safetensors").facts.recipe
    assert (trained["steps"], trained["optimizer"]["lr"]) == (4, 2e-3)
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert records[-1]["step"] == 4


def test_a_changed_field_needs_its_flag_to_go_on(recipe: Path, capsys: pytest.CaptureFixture[str]):
    assert run(["train", str(recipe), "--steps=4", "--time-limit-minutes=1e-9"]) == 0
    assert run(["train", str(recipe), "--steps=6", "--resume"]) == 1
    assert "steps (4 before, 6 now); give --change" in capsys.readouterr().err
    assert run(["train", str(recipe), "--steps=6", "--resume", "--change"]) == 0
    assert "changed from step 1 on: steps (4 before, 6 now)" in capsys.readouterr().err
    assert run(["train", str(recipe), "--change"]) == 2
    assert "--change needs --resume" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_with_its_own_status_and_a_state_to_go_on_from(recipe: Path, number: signal.Signals):
    command = [sys.executable, "-m", "hfmoe", "train", str(recipe), "--steps=100000", "--log.every=1"]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    metrics = recipe.parent / "run" / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while (
        time.monotonic() < deadline
        and process.poll() is None
        and not (metrics.exists() and metrics.read_text())
    ):
        time.sleep(0.05)
    process.send_signal(number)
    message = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + number
    assert f"stopped by {number.name} after step" in message and "Traceback" not in message
    assert torch.load(recipe.parent / "run" / "last.ckpt", weights_only=True)["step"] >= 1


def test_a_loss_that_is_not_finite_is_one_line(recipe: Path, capsys: pytest.CaptureFixture[str]):
    batch_of = batches.batch
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            batches,
            "batch",
            lambda *a, **k: (pair := batch_of(*a, **k))._replace(target=pair.target * float("nan")),
        )
        assert run(["train", str(recipe)]) == 3
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("hfmoe: ")]
    assert len(said) == 1 and "l1 is not finite" in said[0]
