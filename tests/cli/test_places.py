"""Full disks, places that cannot be written or read: one line, nothing half done, nothing else harmed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hfmoe.batch.manifest import MANIFEST
from hfmoe.cli.app import run
from hfmoe.image.files import IMAGE_SUFFIXES, ImageError, Picture, read_picture, write_picture

SUFFIXES = (".png", ".jpg", ".webp", ".tif", ".avif")
LIMITED = """
import json, resource, sys
from hfmoe.cli.app import run
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
for command in json.loads(sys.argv[2]):
    sys.stderr.write(f"status {run(command)}\\n")
"""


def on_a_full_disk(*commands: list[str]) -> list[list[str]]:
    """Run commands, each with at most 2000 bytes a file, in one process; what each said, its status last."""
    child = subprocess.run(
        [sys.executable, "-c", LIMITED, "2000", json.dumps(commands)],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = child.stderr.splitlines()
    ends = [number for number, line in enumerate(lines) if line.startswith("status ")]
    return [lines[begin : end + 1] for begin, end in zip([0, *(end + 1 for end in ends)], ends, strict=False)]


def noise(side: int = 48) -> Picture:
    return Picture(torch.rand(3, side, side, generator=torch.Generator().manual_seed(0)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    write_picture(tmp_path / "in" / "large.png", noise())
    write_picture(tmp_path / "in" / "small.png", noise(8))
    return tmp_path / "in"


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    [line] = capsys.readouterr().err.splitlines()
    return line


def test_a_disk_that_is_full_half_way_leaves_no_file_and_stops_no_other(folder: Path, tiny_weights: Path):
    earlier = folder.parent / "earlier.png"
    model = ["--model", str(tiny_weights)]
    assert run(["restore", str(folder / "large.png"), "--output", str(earlier), *model]) == 0
    before = earlier.read_bytes()
    outs = {suffix: folder.parent / f"out{suffix[1:]}" for suffix in SUFFIXES}
    said = on_a_full_disk(
        *(
            ["restore", str(folder), "--output", str(out), *model, "--format", suffix[1:], "--quality", "100"]
            for suffix, out in outs.items()
        ),
        ["restore", str(folder / "large.png"), "--output", str(earlier), *model, "--effort", "0"],
    )
    for (suffix, out), (failure, summary, status) in zip(outs.items(), said[:-1], strict=True):
        assert [path.name for path in out.iterdir() if path.name != MANIFEST] == [f"small-x2{suffix}"]
        assert read_picture(out / f"small-x2{suffix}").colour.shape == (3, 16, 16)
        assert f"large-x2{suffix}: cannot be written" in failure
        assert (summary, status) == ("hfmoe: 1 of 2 images failed", "status 1")
    assert said[-1][-1] == "status 1"
    assert earlier.read_bytes() == before
    assert {path.name for path in folder.parent.iterdir()} == {
        "in",
        "earlier.png",
        *(p.name for p in outs.values()),
    }


def test_a_file_in_place_of_the_output_folder_is_named(folder: Path, tiny_weights: Path, capsys):
    (folder.parent / "taken").write_text("precious")
    target = folder.parent / "taken" / "deep" / "out.png"
    command = ["restore", str(folder / "small.png"), "--output", str(target), "--model", str(tiny_weights)]
    assert run(command) == 1
    assert "taken" in one_line(capsys)
    assert (folder.parent / "taken").read_text() == "precious"


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="a folder that nobody can write, root neither")
def test_a_folder_that_cannot_be_written_is_named(folder: Path, tiny_weights: Path, capsys):
    command = ["restore", str(folder / "small.png"), "--output", "/proc/self/a.png"]
    assert run([*command, "--model", str(tiny_weights)]) == 1
    assert "/proc/self/a.png: cannot be written" in one_line(capsys)


def test_links_that_lead_nowhere_or_round_are_named(tmp_path: Path, tiny_weights: Path, capsys):
    (tmp_path / "nowhere.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "round.png").symlink_to(tmp_path / "round.png")
    for name in ("nowhere.png", "round.png"):
        assert run(["restore", str(tmp_path / name), "--model", str(tiny_weights)]) == 1
        assert name in one_line(capsys)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with a name are a Unix thing")
def test_a_pipe_does_not_hold_the_command_up(tmp_path: Path, tiny_weights: Path, capsys):
    os.mkfifo(tmp_path / "pipe.png")
    assert run(["restore", str(tmp_path / "pipe.png"), "--model", str(tiny_weights)]) == 1
    assert "pipe.png: a device, pipe or socket" in one_line(capsys)


@pytest.mark.parametrize("name", ["a\0b.png", "a\0.tif"])
def test_a_name_that_no_file_can_have_is_one_line(tmp_path: Path, name: str):
    with pytest.raises(ImageError, match="null"):
        read_picture(tmp_path / name)
    with pytest.raises(ImageError, match="null"):
        write_picture(tmp_path / name, noise(4))


def test_a_result_beyond_free_memory_is_refused_before_it_is_begun(
    folder: Path, tiny_weights: Path, monkeypatch, capsys
):
    monkeypatch.setattr("hfmoe.infer.restorer.free_bytes", lambda _: 100_000)
    command = ["restore", str(folder / "large.png"), "--model", str(tiny_weights), "--stream", "off"]
    assert run(command) == 1
    line = one_line(capsys)
    assert "large.png: the result of 96 x 96 pixels needs" in line
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_a_folder_named_like_an_image_is_passed_over(tmp_path: Path, tiny_weights: Path, suffix: str):
    (tmp_path / f"folder{suffix}").mkdir()
    write_picture(tmp_path / "a.png", noise(8))
    out = tmp_path / "out"
    assert run(["restore", str(tmp_path), "--output", str(out), "--model", str(tiny_weights)]) == 0
    assert [path.name for path in out.iterdir() if path.name != MANIFEST] == ["a-x2.png"]
