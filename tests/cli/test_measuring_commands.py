"""The commands that score, look into and time a model, from outside."""

import json
from pathlib import Path

import pytest
import skimage.data
import torch

from hfmoe.cli.app import run
from hfmoe.cli.bench import parse_plan
from hfmoe.cli.output import check_report
from hfmoe.image.files import Picture, read_picture, write_picture


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    pixels = torch.from_numpy(skimage.data.astronaut()[40:80, 180:240].copy()).permute(2, 0, 1).float() / 255
    write_picture(folder / "a.png", Picture(pixels))
    write_picture(folder / "b.png", Picture(pixels.flip(-1)))
    return folder


def fails(arguments: list[object], status: int, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must fail with one line on stderr; gives that line."""
    assert run([str(argument) for argument in arguments]) == status
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


def test_two_models_are_compared_and_pictured(tiny_weights: Path, photos: Path, tmp_path: Path, capsys):
    out, pictures = tmp_path / "s.json", tmp_path / "p"
    command = [
        "evaluate",
        tiny_weights,
        photos,
        "--against",
        "bicubic",
        "--json",
        out,
        "--pictures",
        pictures,
    ]
    assert run([str(part) for part in command]) == 0
    assert "Wilcoxon" in capsys.readouterr().out
    facts = json.loads(out.read_text())
    assert facts["against"]["model"] == "bicubic"
    assert facts["differences"][0]["images"] == 2
    assert facts["machine"]["torch"] == torch.__version__
    assert len(facts["interval_95"]["psnr_y"]) == 2
    assert sorted(p.name for p in pictures.iterdir()) == [
        "error-a.png",
        "error-b.png",
        "worst-crops.png",
    ]


@pytest.mark.parametrize(
    "options",
    [
        ["--protocol", "colour-denoise", "--sigma", "15"],
        ["--protocol", "gray-jpeg", "--quality", "30"],
        ["--protocol", "paired", "--suffixes", "a,b"],
    ],
)
def test_the_input_is_a_model_of_scale_1(options: list[str], photos: Path, capsys):
    if options[1] == "paired":
        (photos / "a.png").rename(photos / "xa.png")
        (photos / "b.png").rename(photos / "xb.png")
    assert run(["evaluate", "input", str(photos), *options]) == 0
    assert f"{options[1]}-" in capsys.readouterr().out


def test_the_ensemble_is_another_result_and_the_table_says_so(
    tiny_weights: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    scores = []
    for name, options in (("one", []), ("eight", ["--ensemble"])):
        out = tmp_path / f"{name}.json"
        assert run(["evaluate", str(tiny_weights), str(photos), "--json", str(out), *options]) == 0
        scores.append(json.loads(out.read_text())["mean"]["psnr_y"])
    assert scores[0] != scores[1]
    assert " ".join(capsys.readouterr().out.split()).count("mean of eight turns") == 1


def test_evaluate_says_which_setting_is_wrong(tiny_weights: Path, photos: Path, tmp_path: Path, capsys):
    start = ["evaluate", tiny_weights, photos]
    assert "scale 2" in fails([*start, "--protocol", "colour-denoise"], 2, capsys)
    assert "'magic' must be one of" in fails([*start, "--protocol", "magic"], 2, capsys)
    assert "--suffixes 'x'" in fails([*start, "--suffixes", "x"], 2, capsys)
    assert "effort 7.0" in fails([*start, "--effort", 7], 1, capsys)
    assert "absent: no such weights" in fails([*start, "--lpips", tmp_path / "absent"], 1, capsys)
    assert "input needs --protocol" in fails(["evaluate", "input", photos], 2, capsys)
    assert "nano-x4 is of scale 4" in fails([*start, "--against", "nano-x4"], 2, capsys)
    assert "a.png: is a file" in fails([*start, "--pictures", photos / "a.png"], 1, capsys)
    given = ["evaluate", "input", photos, "--protocol"]
    assert "sigma 0" in fails([*given, "gray-denoise", "--sigma", 0], 2, capsys)
    assert "quality 500" in fails([*given, "gray-jpeg", "--quality", 500], 2, capsys)
    assert "ends in '_real'" in fails([*given, "paired"], 1, capsys)
    assert "of scale 1, not 2" in fails([*given, "paired", "--scale", 2], 2, capsys)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="a folder that nobody can write, root neither")
@pytest.mark.parametrize("command", [["evaluate", "no-model", "no-photos"], ["bench", "no-model"]])
def test_a_folder_where_no_file_can_be_made_is_told_before_the_work(command: list[str], capsys):
    assert fails([*command, "--json", "/proc/self/s.json"], 1, capsys).startswith(
        "hfmoe: /proc/self/s.json: "
    )


def test_the_trial_whether_a_report_can_be_written_leaves_nothing(tmp_path: Path):
    check_report(tmp_path / "s.json")
    assert not list(tmp_path.iterdir())


def test_inspect_writes_the_documented_files(tiny_weights: Path, photos: Path, tmp_path: Path, capsys):
    out = tmp_path / "look"
    command = ["inspect", tiny_weights, photos / "a.png", "--degrade", "--output", out]
    assert run([str(part) for part in command]) == 0
    names = ["bands", "experts", "gates", "filters", "field", "spectrum", "overview", "restored"]
    assert {path.name for path in out.iterdir()} == {*(f"{name}.png" for name in names), "inspection.json"}
    assert str(out / "overview.png") in capsys.readouterr().out.replace("\n", " ")


def test_inspect_of_a_folder_is_a_routing_report(tiny_weights: Path, photos: Path, tmp_path: Path, capsys):
    assert run(["inspect", str(tiny_weights), str(photos), "--output", str(tmp_path), "--effort", "0"]) == 0
    assert "collapsed" in capsys.readouterr().out.replace("…", "collapsed")
    assert json.loads((tmp_path / "routing.json").read_text())["images"] == 2


def test_inspect_says_what_it_cannot_do(tiny_weights: Path, photos: Path, tmp_path: Path, capsys):
    image, empty = photos / "a.png", tmp_path / "empty"
    empty.mkdir()
    start = ["inspect", tiny_weights]
    assert "no images" in fails([*start, empty], 1, capsys)
    assert "absent.png" in fails([*start, tmp_path / "absent.png"], 1, capsys)
    assert "absent.png" in fails([*start, tmp_path / "absent.png", "--degrade"], 1, capsys)
    assert "must be (80, 120)" in fails([*start, image, "--truth", image], 1, capsys)
    assert "--effort 2.0" in fails([*start, image, "--effort", 2], 2, capsys)
    assert "--truth" in fails([*start, image, "--truth", image, "--degrade"], 2, capsys)
    assert "not a folder" in fails([*start, photos, "--truth", image], 2, capsys)
    (photos / "c.png").write_bytes(b"not an image")
    assert "c.png" in fails([*start, photos], 1, capsys)


DEFAULTS = {
    "sizes": "32",
    "efforts": "0.5",
    "forms": "eager",
    "threads": 1,
    "rounds": 3,
    "seconds": 1.0,
    "memory": False,
    "photo": None,
}


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (["--sizes", "big"], "--sizes 'big'"),
        (["--sizes", "0"], "--sizes 0"),
        (["--efforts", "0.5,2"], "--efforts 2.0"),
        (["--forms", "eager,magic"], "--forms 'magic'"),
        (["--threads", "0"], "--threads 0"),
        (["--rounds", "1"], "--rounds 1"),
        (["--seconds", "0"], "--seconds 0"),
        (["--clock", "sun"], "--clock 'sun'"),
        (["--image", "absent.png"], "absent.png"),
        (["--plot", "growth.svg"], "--plot growth.svg must be a PNG file"),
    ],
)
def test_bench_refuses_a_wrong_plan_before_measuring(options: list[str], rule: str, capsys):
    assert rule in fails(["bench", "nano-x4", *options], 2, capsys)


def test_bench_names_a_model_that_is_not_there(capsys):
    assert "nanno" in fails(["bench", "nanno"], 1, capsys)


def test_a_plan_takes_lists_once_each():
    plan = parse_plan("nano-x4", **{**DEFAULTS, "sizes": "64,32,64", "forms": "all"})
    assert plan.sizes == (64, 32)
    assert "compiled" in plan.forms


@pytest.mark.slow
def test_bench_measures_prints_and_writes(tiny_weights: Path, tmp_path: Path, capsys):
    out = tmp_path / "b.json"
    plot = tmp_path / "b.png"
    command = ["bench", tiny_weights, "--sizes", "32,64", "--rounds", "3", "--seconds", "1", "--json", out]
    assert run([str(part) for part in [*command, "--plot", plot]]) == 0
    assert read_picture(plot).colour.std() > 0.05
    printed = capsys.readouterr().out
    assert "pixels^b with b =" in printed
    assert f"torch {torch.__version__}" in printed
    rows = json.loads(out.read_text())["rows"]
    assert [row["height"] for row in rows] == [32, 64]
    assert all(row["peak_mib"] >= 0 for row in rows)
