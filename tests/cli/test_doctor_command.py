"""`hfmoe doctor` from outside: statuses, and a screen that says what the JSON says."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from hfmoe.cli import doctor
from hfmoe.cli.app import run
from hfmoe.image.files import Picture, write_picture
from hfmoe.train.probe import MemoryFit, Probe, Trial

NETWORK = {
    "dim": 8, "low_dims": [8], "head_dim": 8, "encoder_blocks": [1], "decoder_blocks": [],
    "experts": [0.5, 1.0], "texture_blocks": 1, "texture_hidden": 8,
    "dynamic_width": 4, "dynamic_groups": 2, "cross_dim": 4,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "photos"
    place.mkdir()
    for seed in range(3):
        coarse = np.random.default_rng(seed).uniform(0, 1, (3, 8, 8))
        image = coarse.repeat(12, axis=1).repeat(12, axis=2)
        write_picture(place / f"{seed}.png", Picture(torch.from_numpy(image).float()))
    return place


@pytest.fixture
def recipe(folder: Path) -> Path:
    fields = {
        "name": "mine",
        "preset": "nano-x2",
        "network": NETWORK,
        "train": str(folder),
        "run": str(folder.parent / "run"),
        "steps": 5,
        "batch": 2,
        "patch": 32,
        "hardware": {"accelerator": "cpu", "threads": 1},
    }
    path = folder.parent / "recipe.yaml"
    path.write_text(yaml.safe_dump(fields))
    return path


def test_photos_without_errors_end_with_status_0(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert run(["doctor", str(folder)]) == 0
    assert "3 photos to train on" in capsys.readouterr().out


def test_the_screen_says_what_the_json_says_and_errors_end_with_status_1(
    folder: Path, capsys: pytest.CaptureFixture[str]
):
    (folder / "broken.png").write_text("no image")
    (folder / "again.png").write_bytes((folder / "0.png").read_bytes())
    file = folder.parent / "report.json"
    assert run(["doctor", str(folder), "--json", str(file)]) == 1
    said = capsys.readouterr().out
    report = json.loads(file.read_text())
    assert report["counts"]["error"] == 1 and report["probe"] is None and report["complete"]
    for finding in report["findings"]:
        assert finding["kind"] in said
        assert any(Path(name).name in said for name in finding["files"])
    for severity, count in report["counts"].items():
        assert f"{count} {severity}s" in said


def test_a_recipe_gives_folders_patch_and_a_probe(recipe: Path, capsys: pytest.CaptureFixture[str]):
    file = recipe.parent / "report.json"
    assert run(["doctor", "--recipe", str(recipe), "--json", str(file), "--seconds", "15"]) == 0
    report = json.loads(file.read_text())
    assert report["folders"] == [str(recipe.parent / "photos")]
    proposal = report["probe"]["proposal"]
    assert f"batch {proposal['batch']}, patch {proposal['patch']}" in capsys.readouterr().out


@pytest.mark.parametrize("count", [1, 2])
def test_a_proposal_from_one_trial_says_that_it_compares_with_nothing(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], count: int
):
    trials = tuple(Trial(batch, 32, seconds=0.1, peak=batch * 2**20) for batch in (1, 4)[:count])
    found = Probe("cpu", 2**30, trials, trials[0], MemoryFit.of(trials), 64, "no time was left")
    monkeypatch.setattr(doctor, "probe", lambda *given, **named: found)
    assert run(["doctor", "--recipe", str(recipe)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "batch 64 at patch 32" in said
    assert ("only trial, nothing to compare with" in said and "--seconds more" in said) == (count == 1)


def test_a_run_that_passes_the_memory_is_an_error(recipe: Path):
    file = recipe.parent / "report.json"
    assert run(["doctor", "--recipe", str(recipe), "--memory", "5", "--json", str(file)]) == 1
    report = json.loads(file.read_text())
    assert [finding["kind"] for finding in report["findings"]][0] == "memory"
    assert report["probe"]["proposal"] is None


def test_without_probe_none_runs(recipe: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "probe", lambda *_, **__: pytest.fail("probed"))
    assert run(["doctor", "--recipe", str(recipe), "--no-probe"]) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["{folder}/nowhere"],
        ["{folder}/0.png"],
        ["{folder}", "--probe"],
        ["{folder}", "--preset", "nanno-x2"],
        ["{folder}", "--threads", "0"],
        ["{folder}", "--memory", "-1", "--preset", "nano-x2"],
        ["{folder}", "--scale", "5"],
        ["--pairs", "{folder}"],
        ["--pairs", "{folder}", "{folder}"],
        ["{folder}", "--validation", "{folder}/nowhere"],
    ],
)
def test_wrong_usage_is_one_line_and_status_2(
    folder: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
):
    assert run(["doctor", *(argument.format(folder=folder) for argument in arguments)]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and said[0].startswith("hfmoe: ")


def test_an_empty_folder_and_a_folder_of_texts_end_with_status_1(tmp_path: Path):
    assert run(["doctor", str(tmp_path)]) == 1
    (tmp_path / "notes.txt").write_text("hello")
    assert run(["doctor", str(tmp_path)]) == 1


def test_a_report_that_cannot_be_written_is_said_before_the_work(folder: Path):
    assert run(["doctor", str(folder), "--json", str(folder / "no" / "report.json")]) == 1


def test_pairs_of_a_scale_are_inspected(folder: Path):
    assert run(["doctor", "--pairs", str(folder), str(folder), "--scale", "1"]) == 0
    assert run(["doctor", "--pairs", str(folder), str(folder), "--scale", "2"]) == 1


def test_an_interrupted_inspection_says_how_far_it_came(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    real = doctor.inspect

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "inspect", lambda sources, **_: real(sources, on_file=stop, threads=1))
    assert run(["doctor", str(folder)]) == 130
    assert "1 of 3 files" in capsys.readouterr().err
