"""Folders as jobs: skipping, going on, one bad file, and nothing half done."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import hfmoe
from hfmoe.batch.dispatch import model_digest
from hfmoe.batch.manifest import MANIFEST
from hfmoe.cli.app import run
from hfmoe.image.files import Picture, read_picture, write_picture
from hfmoe.image.reading import read_arrays


def picture(seed: int = 0, side: int = 20) -> Picture:
    return Picture(torch.rand(3, side, side, generator=torch.Generator().manual_seed(seed)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, name in enumerate(("a.png", "b.jpg", "sub/c.webp", "sub/deep/d.tif")):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        write_picture(tmp_path / "in" / name, picture(number))
    return tmp_path / "in"


def results(root: Path) -> dict[str, int]:
    files = (path for path in root.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {path.relative_to(root).as_posix(): path.stat().st_mtime_ns for path in files}


def restore(folder: Path, weights: Path, *options: object) -> int:
    return run(["restore", str(folder), "--model", str(weights), *map(str, options)])


ALL = {"a-x2.png", "b-x2.png", "sub/c-x2.png", "sub/deep/d-x2.png"}


def test_a_folder_is_restored_with_its_tree_and_a_second_time_skipped(
    folder: Path, tiny_weights: Path, capsys
):
    assert restore(folder, tiny_weights) == 0
    first = results(folder.parent / "in-x2")
    assert set(first) == ALL
    capsys.readouterr()
    assert restore(folder, tiny_weights) == 0
    assert "4 of 4 were done before" in capsys.readouterr().out
    assert results(folder.parent / "in-x2") == first


def test_results_are_those_of_one_file_at_a_time(folder: Path, tiny_weights: Path):
    assert restore(folder, tiny_weights, "--workers", 3) == 0
    restorer = hfmoe.load(tiny_weights)
    for source in (folder / "a.png", folder / "sub/c.webp"):
        alone = folder.parent / "alone.png"
        write_picture(alone, restorer.picture(read_picture(source)))
        target = folder.parent / "in-x2" / source.relative_to(folder).with_name(f"{source.stem}-x2.png")
        assert torch.equal(read_picture(alone).colour, read_picture(target).colour)


def test_what_changed_is_done_again_and_nothing_else(folder: Path, tiny_weights: Path):
    assert restore(folder, tiny_weights) == 0
    first = results(folder.parent / "in-x2")
    write_picture(folder / "a.png", picture(9, side=24))
    (folder.parent / "in-x2/sub/c-x2.png").unlink()
    assert restore(folder, tiny_weights) == 0
    second = results(folder.parent / "in-x2")
    assert {name for name in ALL if first[name] != second[name]} == {"a-x2.png", "sub/c-x2.png"}
    assert read_picture(folder.parent / "in-x2/a-x2.png").colour.shape == (3, 48, 48)


@pytest.mark.parametrize("option", [("--effort", 1), ("--strip",), ("--redo",), ("--strength", 0.5)])
def test_other_settings_do_all_again(folder: Path, tiny_weights: Path, option: tuple):
    assert restore(folder, tiny_weights) == 0
    first = results(folder.parent / "in-x2")
    assert restore(folder, tiny_weights, *option) == 0
    second = results(folder.parent / "in-x2")
    assert all(first[name] != second[name] for name in ALL)


def test_another_model_of_the_same_name_does_all_again(folder: Path, tiny_weights: Path, tmp_path: Path):
    copy = tmp_path / "model.safetensors"
    copy.write_bytes(tiny_weights.read_bytes())
    assert restore(folder, copy) == 0
    first = results(folder.parent / "in-x2")
    moved = tmp_path / "same.safetensors"
    moved.write_bytes(copy.read_bytes())
    assert restore(folder, moved) == 0
    assert results(folder.parent / "in-x2") == first
    content = bytearray(copy.read_bytes())
    content[-3] ^= 1
    copy.write_bytes(content)
    assert restore(folder, copy) == 0
    assert all(results(folder.parent / "in-x2")[name] != first[name] for name in ALL)


def test_a_bad_file_is_tried_again_and_the_rest_is_not(folder: Path, tiny_weights: Path, capsys):
    (folder / "bad.png").write_bytes(b"no image")
    assert restore(folder, tiny_weights) == 1
    assert set(results(folder.parent / "in-x2")) == ALL
    failure, summary = capsys.readouterr().err.splitlines()
    assert "bad.png" in failure
    assert summary == "hfmoe: 1 of 5 images failed"
    write_picture(folder / "bad.png", picture())
    assert restore(folder, tiny_weights) == 0
    assert "4 of 5 were done before" in capsys.readouterr().out
    assert set(results(folder.parent / "in-x2")) == ALL | {"bad-x2.png"}


def test_what_a_killed_job_had_begun_to_write_is_removed_and_nothing_else(folder: Path, tiny_weights: Path):
    root = folder.parent / "in-x2"
    begun = [root / ".a-x2-0123abcd.png", root / "sub" / ".c-x2-89abcdef.png"]
    others = [root / ".a-x2-0123abcd.jpg", root / ".e-x2-0123abcd.png", root / ".a-x2-mine.png"]
    for path in (*begun, *others):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    assert restore(folder, tiny_weights) == 0
    assert set(results(root)) == ALL | {path.name for path in others}


def test_what_is_not_there_is_said_as_a_sentence(folder: Path, tiny_weights: Path, capsys):
    assert restore(folder.parent / "none.png", tiny_weights) == 1
    assert capsys.readouterr().err == f"hfmoe: {folder.parent / 'none.png'}: No such file or directory\n"


def test_names_and_patterns_are_taken_from_the_command_line(folder: Path, tiny_weights: Path):
    options = ("--name", "{stem}_x{scale}{suffix}", "--include", "*.webp", "--include", "*.tif")
    assert restore(folder, tiny_weights, *options, "--exclude", "deep", "--format", "tif") == 0
    assert set(results(folder.parent / "in-x2")) == {"sub/c_x2.tif"}
    assert restore(folder, tiny_weights, "--no-recursive") == 0
    assert set(results(folder.parent / "in-x2")) == {"sub/c_x2.tif", "a-x2.png", "b-x2.png"}


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (("--name", "same.png"), "several inputs would be written to"),
        (("--name", "{stm}.png"), "{stm} must be one of {stem}"),
        (("--workers", 0), "--workers 0 must be in [1, 64]"),
        (("--include", "*.bmp"), "holds no images that are wanted"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(
    folder: Path, tiny_weights: Path, options: tuple, rule: str, capsys
):
    assert restore(folder, tiny_weights, *options) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert rule in line
    assert not (folder.parent / "in-x2").exists()


def test_a_damaged_manifest_is_one_line_and_nothing_is_touched(folder: Path, tiny_weights: Path, capsys):
    root = folder.parent / "in-x2"
    root.mkdir()
    (root / MANIFEST).write_text("precious\n")
    assert restore(folder, tiny_weights) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert "line 1 is not one of a manifest; move it away" in line
    assert results(root) == {}


def hear_interrupts() -> None:
    """Undo that a shell's background jobs, which these tests may be one of, ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_an_interrupted_job_leaves_whole_files_and_goes_on(
    tmp_path: Path, tiny_weights: Path, number: int, status: int
):
    folder, root = tmp_path / "in", tmp_path / "in-x2"
    folder.mkdir()
    for index in range(30):
        write_picture(folder / f"{index}.png", picture(index, side=120))
    command = [sys.executable, "-m", "hfmoe", "restore", str(folder), "--model", str(tiny_weights)]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes, preexec_fn=hear_interrupts) as child:
        for _ in range(2400):
            if len(list(root.glob("[0-9]*.png"))) >= 3:
                break
            time.sleep(0.02)
        os.kill(child.pid, number)
        _, said = child.communicate(timeout=120)
    assert child.returncode == status
    finished = {path.name for path in root.glob("[0-9]*.png")}
    assert 3 <= len(finished) < 30
    assert all(read_picture(root / name).colour.shape == (3, 240, 240) for name in finished)
    if number == signal.SIGINT:
        assert "of 30 images; the same command goes on" in said
        assert {path.name for path in root.iterdir()} == finished | {MANIFEST}
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    skipped = int(again.stdout.splitlines()[-1].split()[0])
    assert len(finished) - 3 <= skipped <= len(finished)
    assert len(list(root.glob("[0-9]*.png"))) == 30


def test_a_wish_to_terminate_ends_a_job_in_order(folder: Path, tiny_weights: Path, monkeypatch, capsys):
    def read(path: Path) -> Picture:
        if path.name == "d.tif":
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.5)
        return read_arrays(path)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("hfmoe.batch.work.read_arrays", read)
    assert restore(folder, tiny_weights, "--workers", 1) == 143
    assert "of 4 images; the same command goes on" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) == before
    assert set(results(folder.parent / "in-x2")) < ALL


def test_python_gives_what_became_of_each_file(folder: Path, tiny_weights: Path, tmp_path: Path):
    (folder / "bad.png").write_bytes(b"no image")
    ended = []
    summary = hfmoe.restore_files(folder, tmp_path / "out", model=tiny_weights, on_end=ended.append)
    assert {Path(done.job.target).name for done in summary.done} == {
        "a-x2.png",
        "b-x2.png",
        "c-x2.png",
        "d-x2.png",
    }
    assert [Path(failed.job.source).name for failed in summary.failed] == ["bad.png"]
    assert len(ended) == 5
    restorer = hfmoe.load(tiny_weights)
    assert len(hfmoe.restore_files([folder], tmp_path / "out", model=tiny_weights).skipped) == 4
    assert len(hfmoe.restore_files([folder], tmp_path / "out2", model=restorer).done) == 4
    assert len(hfmoe.restore_files([folder], tmp_path / "out2", model=restorer).skipped) == 4
    with pytest.raises(ValueError, match="format 'bmp' must be one of"):
        hfmoe.restore_files([folder], model=restorer, format="bmp")


def test_results_in_another_arithmetic_are_made_anew(tiny_weights: Path):
    plain, again, other = (hfmoe.load(tiny_weights, autocast=kind) for kind in ("off", "off", "bfloat16"))
    assert model_digest(plain) == model_digest(again) != model_digest(other)
