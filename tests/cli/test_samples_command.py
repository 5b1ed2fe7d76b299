"""`hfmoe samples`: pictures of what a recipe learns from, and their operations."""

import json
from pathlib import Path

import pytest
import torch
import yaml

from hfmoe.cli.app import run
from hfmoe.data.degradations import apply, from_data
from hfmoe.image.files import Picture, read_picture, read_rgb8, write_picture


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    write_picture(folder / "a.png", Picture(torch.rand(3, 90, 80)))
    fields = {
        "name": "mine",
        "preset": "nano-x2",
        "train": str(folder),
        "run": str(tmp_path / "run"),
        "steps": 50,
        "patch": 16,
        "tasks": [{"kind": "photo"}, {"kind": "sr"}, {"kind": "jpeg"}],
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(fields))
    return tmp_path / "recipe.yaml"


def test_the_listed_operations_give_the_degraded_picture_of_the_source_again(
    recipe: Path, capsys: pytest.CaptureFixture[str]
):
    output = recipe.parent / "shown"
    assert run(["samples", str(recipe), "--output", str(output), "--step", "30", "--count=6"]) == 0
    listing = json.loads((output / "samples.json").read_text())
    assert len(listing) == len(capsys.readouterr().out.splitlines()) == 6
    assert {sample["task"] for sample in listing} >= {"photo", "jpeg"}
    for number, sample in enumerate(listing):
        source = read_picture(output / f"{number:02d}-source.png").colour
        degraded = read_rgb8(output / f"{number:02d}-degraded.png")
        again = apply(source, from_data(sample["operations"]))
        assert torch.equal((again * 255).round().byte(), degraded)
        assert sample["place"]["photo"] == "a.png"
    assert read_rgb8(output / "sheet.png").shape == (3, 2 * 36, 4 * 68)
    assert not (recipe.parent / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (["--step", "50"], "step 50 must be in [0, 50)"),
        (["--count", "0"], "count 0"),
        (["--stepps", "3"], "stepps"),
    ],
)
def test_wrong_arguments_are_one_line(
    recipe: Path, arguments: list[str], rule: str, capsys: pytest.CaptureFixture[str]
):
    assert run(["samples", str(recipe), "--output", str(recipe.parent / "shown"), *arguments]) != 0
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and rule in said[0]


def test_what_is_shown_is_the_photo_as_the_recipe_finds_it(recipe: Path):
    plain, found = recipe.parent / "plain", recipe.parent / "found"
    as_found = ["--found.share", "1", "--found.quality", "[50, 50]"]
    assert run(["samples", str(recipe), "--output", str(plain), "--count=2"]) == 0
    assert run(["samples", str(recipe), "--output", str(found), "--count=2", *as_found]) == 0
    for name in ("00-target.png", "01-target.png"):
        assert not torch.equal(read_rgb8(plain / name), read_rgb8(found / name))
