"""The command line from outside: files in, files out, one line for what went wrong."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import skimage.data
import torch

from hfmoe.batch.manifest import MANIFEST
from hfmoe.cli.app import run
from hfmoe.image.files import Picture, read_picture, write_picture
from hfmoe.models.header import file_sha256, shipped


def photo(height: int = 40, width: int = 60) -> torch.Tensor:
    pixels = skimage.data.astronaut()[40 : 40 + height, 180 : 180 + width]
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_picture(tmp_path / "photo.png", Picture(photo()))
    return tmp_path / "photo.png"


def fails(arguments: list[object], status: int, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must fail with one line on stderr; gives that line."""
    assert run([str(argument) for argument in arguments]) == status
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("hfmoe: ")
    return lines[0]


def test_restore_writes_a_larger_picture_beside_its_source(source: Path, tiny_weights: Path, capsys):
    assert run(["restore", str(source), "--model", str(tiny_weights)]) == 0
    assert "photo-x2.png  120 x 80" in capsys.readouterr().out
    assert read_picture(source.with_name("photo-x2.png")).colour.shape == (3, 80, 120)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("has_alpha", [False, True])
def test_restore_keeps_the_kind_of_a_picture(
    channels: int, bits: int, has_alpha: bool, tiny_weights: Path, tmp_path: Path
):
    colour = photo()[:channels]
    alpha = torch.linspace(0, 1, 60).expand(1, 40, 60) if has_alpha else None
    write_picture(tmp_path / "in.png", Picture(colour, alpha, bits=16 if bits == 16 else 8))
    out = tmp_path / "out.png"
    assert run(["restore", str(tmp_path / "in.png"), "--output", str(out), "--model", str(tiny_weights)]) == 0
    restored = read_picture(out)
    assert restored.colour.shape == (channels, 80, 120)
    assert restored.bits == bits
    assert (restored.alpha is not None) == has_alpha


def test_scale_1_cleans_a_photo_and_keeps_its_size(source: Path, tmp_path: Path):
    out = tmp_path / "out.png"
    assert run(["restore", str(source), "--scale", "1", "--output", str(out)]) == 0
    before, after = read_picture(source).colour, read_picture(out).colour
    assert after.shape == before.shape
    assert not torch.equal(after, before)


def test_tiles_effort_and_scale_are_taken(source: Path, tiny_weights: Path, tmp_path: Path):
    common = [
        "restore",
        str(source),
        "--model",
        str(tiny_weights),
        "--scale",
        "2",
        "--effort",
        "1",
        "--output",
    ]
    assert run([*common, str(tmp_path / "whole.png"), "--tile", "off"]) == 0
    assert run([*common, str(tmp_path / "tiled.png"), "--tile", "128"]) == 0
    whole, tiled = (read_picture(tmp_path / name).colour for name in ("whole.png", "tiled.png"))
    assert (whole - tiled).abs().max() <= 2 / 255


def test_a_bad_file_stops_no_other_and_is_reported_at_the_end(tiny_weights: Path, tmp_path: Path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    write_picture(folder / "a.png", Picture(photo()))
    (folder / "b.png").write_bytes(b"not an image")
    write_picture(folder / "c.jpg", Picture(photo()))
    assert run(["restore", str(folder), "--model", str(tiny_weights)]) == 1
    results = {path.name for path in (tmp_path / "in-x2").iterdir()}
    assert results == {"a-x2.png", "c-x2.png", MANIFEST}
    failure, summary = capsys.readouterr().err.splitlines()
    assert "b.png" in failure
    assert summary == "hfmoe: 1 of 3 images failed"


def bad_inputs(folder: Path) -> dict[str, Path]:
    write_picture(folder / "whole.png", Picture(photo()))
    content = (folder / "whole.png").read_bytes()
    (folder / "empty.png").write_bytes(b"")
    (folder / "truncated.png").write_bytes(content[: len(content) // 2])
    (folder / "text.jpg").write_text("these are words")
    header = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(8) + b"\x08\x02\0\0\0"
    (folder / "zero.png").write_bytes(header + bytes(4))
    return {
        name: folder / name for name in ("missing.png", "empty.png", "truncated.png", "text.jpg", "zero.png")
    }


@pytest.mark.parametrize("name", ["missing.png", "empty.png", "truncated.png", "text.jpg", "zero.png"])
def test_bad_input_is_one_line_and_no_output(name: str, tiny_weights: Path, tmp_path: Path, capsys):
    path = bad_inputs(tmp_path)[name]
    before = set(tmp_path.iterdir())
    assert str(path) in fails(["restore", path, "--model", tiny_weights], 1, capsys)
    assert set(tmp_path.iterdir()) == before


def test_wrong_models_and_settings_are_one_line_and_no_output(
    source: Path, tiny_weights: Path, tmp_path: Path, capsys
):
    torch.save({"a": 1}, tmp_path / "old.pth")
    (tmp_path / "broken.safetensors").write_bytes(tiny_weights.read_bytes()[:-7])
    photo_beside = tmp_path / "beside.png"
    photo_beside.write_bytes(source.read_bytes())
    before = set(tmp_path.iterdir())
    restore = ["restore", source, "--model"]
    assert "scale 2" in fails([*restore, tiny_weights, "--scale", 4], 2, capsys)
    assert "--scale 9" in fails([*restore, tiny_weights, "--scale", 9], 2, capsys)
    assert "old.pth" in fails([*restore, tmp_path / "old.pth"], 1, capsys)
    assert "broken.safetensors" in fails([*restore, tmp_path / "broken.safetensors"], 1, capsys)
    assert "photo.png" in fails([*restore, source], 1, capsys)
    assert "'nanno-x9'" in fails([*restore, "nanno-x9"], 1, capsys)
    assert "--scale 9 must be in [1, 4]" in fails(["restore", source, "--scale", 9], 2, capsys)
    effort = ["restore", source, photo_beside, "--model", tiny_weights, "--effort", 3]
    assert "--effort 3.0" in fails(effort, 2, capsys)
    assert "--tile 'some'" in fails([*restore, tiny_weights, "--tile", "some"], 2, capsys)
    assert "--tile 3 must" in fails([*restore, tiny_weights, "--tile", 3], 2, capsys)
    assert "device 'abacus'" in fails([*restore, tiny_weights, "--device", "abacus"], 1, capsys)
    assert "is an input" in fails([*restore, tiny_weights, "--output", source], 2, capsys)
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["restore"],
        ["sing"],
        ["restore", "a.png", "--louder"],
        ["info", "nano-x4", "--size", "big"],
        ["evaluate"],
    ],
)
def test_wrong_usage_is_one_line_and_status_2(arguments: list[object], capsys):
    fails(arguments, 2, capsys)


@pytest.mark.parametrize("option", ["--width=1.5", "--quality=90.5", "--tile=99.5", "--workers=1.5"])
def test_a_fraction_for_a_whole_number_is_refused_rather_than_rounded(option: str, capsys):
    name, value = option.split("=")
    for words in ([option], [name, value]):
        assert f"{name} {value} must be a whole number" in fails(["restore", "a.png", *words], 2, capsys)


@pytest.mark.parametrize(
    "words", [["restore", ""], ["restore", "a.png", "--output", ""], ["evaluate", "nano-x2", ""]]
)
def test_an_empty_name_is_not_the_current_folder(words: list[object], capsys):
    assert "is empty" in fails(words, 2, capsys)


def test_evaluate_prints_the_mean_and_writes_each_image(tiny_weights: Path, tmp_path: Path, capsys):
    for name in ("a.png", "b.png"):
        write_picture(tmp_path / name, Picture(photo()))
    out = tmp_path / "scores.json"
    assert run(["evaluate", str(tiny_weights), str(tmp_path), "--json", str(out)]) == 0
    assert "mean" in capsys.readouterr().out
    assert [row["name"] for row in json.loads(out.read_text())["images"]] == ["a.png", "b.png"]
    assert run(["evaluate", "bicubic", str(tmp_path), "--scale", "2", "--json", str(out)]) == 0
    assert json.loads(out.read_text())["mean"]["psnr_y"] > 20


def test_evaluate_says_what_it_cannot_do(tiny_weights: Path, tmp_path: Path, capsys):
    assert "bicubic needs --scale" in fails(["evaluate", "bicubic", tmp_path], 2, capsys)
    assert str(tmp_path) in fails(["evaluate", tiny_weights, tmp_path], 1, capsys)
    assert "absent" in fails(["evaluate", tiny_weights, tmp_path / "absent"], 1, capsys)


def test_info_prints_and_writes_what_a_model_costs(tiny_weights: Path, tmp_path: Path, capsys):
    out = tmp_path / "cost.json"
    assert run(["info", str(tiny_weights), "--size", "32x48", "--json", str(out)]) == 0
    assert "multiply-adds" in capsys.readouterr().out
    facts = json.loads(out.read_text())
    assert 0 < facts["parameters_active"] <= facts["parameters"]
    assert 0 < facts["multiply_adds_expected"] <= facts["multiply_adds"]
    assert facts["latency_ms"] > 0
    assert facts["peak_mib"] >= 0


def test_info_of_what_does_not_exist_names_the_nearest(capsys):
    assert "did you mean 'nano-x4'" in fails(["info", "nano_x4"], 1, capsys)


def test_models_lists_what_ships(tiny_weights: Path, tmp_path: Path, monkeypatch, capsys):
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"")
    shipped = {"tiny": tiny_weights, "damaged": damaged}
    monkeypatch.setattr("hfmoe.cli.models.shipped", lambda: shipped)
    assert run(["models", "--scores"]) == 0
    listed = capsys.readouterr().out
    sha256 = file_sha256(tiny_weights)[:12]
    assert all(word in listed for word in ("tiny", "x2", "Set5 psnr_y 30.5", "empty", sha256))


def test_models_says_in_a_line_what_each_is_for(capsys):
    assert run(["models"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if any(name in line for name in shipped())]
    assert len(lines) == len(shipped())
    assert "worn photos" in next(line for line in lines if "tiny-photo-x4" in line)
    assert "undoes bicubic" in next(line for line in lines if "nano-x4" in line)


def test_an_interrupt_ends_with_130(monkeypatch, source: Path, tiny_weights: Path, capsys):
    def interrupted(*_: object, **__: object):
        raise KeyboardInterrupt

    monkeypatch.setattr("hfmoe.batch.work.read_arrays", interrupted)
    assert "interrupted" in fails(["restore", source, "--model", tiny_weights], 130, capsys)


def test_train_refuses_a_recipe_that_is_not_there(tmp_path: Path, capsys):
    assert "absent.yaml" in fails(["train", tmp_path / "absent.yaml", "--steps", 3], 1, capsys)


def test_help_and_version_answer_without_torch_or_numpy():
    for option in ("--help", "--version"):
        code = (
            "import sys; from hfmoe.cli.app import run\n"
            f"status = run([{option!r}])\n"
            "heavy = {'torch', 'numpy', 'pyvips', 'pydantic'} & set(sys.modules)\n"
            "sys.exit(status or len(heavy))"
        )
        child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert (child.returncode, child.stderr) == (0, "")
        assert child.stdout


def test_the_command_works_from_a_shell(source: Path, tiny_weights: Path):
    command = [sys.executable, "-m", "hfmoe", "restore", str(source), "--model", str(tiny_weights)]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (child.returncode, child.stderr) == (0, "")
    assert "120 x 80" in child.stdout
    failing = subprocess.run([*command, "--scale", "3"], capture_output=True, text=True, check=False)
    assert failing.returncode == 2
    assert failing.stderr.count("\n") == 1


@pytest.mark.parametrize("command", [["evaluate", "bicubic", ".", "--scale", "2"], ["info", "nano-x2"]])
def test_a_report_that_cannot_be_written_is_said_before_the_work(command: list[str], tmp_path: Path, capsys):
    nowhere = tmp_path / "nowhere" / "x.json"
    assert f"{nowhere.parent} does not exist" in fails([*command, "--json", nowhere], 1, capsys)
    assert "is a folder" in fails([*command, "--json", tmp_path], 1, capsys)


def test_an_argument_too_many_is_named(capsys):
    assert "'nano-x2 nano-x3' is more than the command takes" in fails(
        ["bench", "nano-x4", "nano-x2", "nano-x3"], 2, capsys
    )


def test_a_preset_without_its_scale_is_told_the_names_with_one(capsys):
    assert "nano-x1" in fails(["info", "nano"], 1, capsys)
