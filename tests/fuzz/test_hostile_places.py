"""Places that cannot be read or written, and a disk that takes no more: named, and nothing is harmed."""

import ctypes
import hashlib
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hfmoe.batch.manifest import MANIFEST
from hfmoe.image.files import read_picture

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="rights and limits of Linux"),
]

DROP_FROM_BOUNDS, OVERRIDES, ROOM = 24, (1, 2), 20_000
"""prctl's number, the two rights by which root reads and writes everything, and bytes a file may have."""


def as_a_user() -> None:
    """Take from root what lets it pass over the rights of files."""
    libc = ctypes.CDLL(None)
    for right in OVERRIDES:
        libc.prctl(DROP_FROM_BOUNDS, right, 0, 0, 0)


def without_room() -> None:
    """Let no file grow beyond ROOM, as a disk that is full does."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, ROOM))


def restore(
    *arguments: object, weights: Path, before: Callable[[], None] | None = as_a_user
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hfmoe", "restore", *map(str, arguments), "--model", str(weights)]
    return subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=before)


def test_the_upright_copy_of_a_turned_photo_has_no_room(folder: Path, tiny_weights: Path):
    exif = Image.Exif()
    exif[0x112] = 6
    Image.open(folder / "large.png").save(folder / "large.jpg", exif=exif)
    done = restore(folder / "large.jpg", "--stream", "on", weights=tiny_weights, before=without_room)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.endswith(".turned: cannot be written (File too large)")
    assert not list(folder.glob(".large*"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four small photos and, in the middle of them, a large one."""
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    noise = np.random.default_rng(0)
    for name, side in {"a.png": 9, "b.tif": 12, "large.png": 150, "y.jpg": 20, "sub/z.webp": 11}.items():
        Image.fromarray(noise.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(folder / name)
    return folder


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file() and os.access(path, os.R_OK))
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def results(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()} - {MANIFEST}


@pytest.mark.parametrize("options", [(), ("--stream", "on"), ("--pages",)])
@pytest.mark.parametrize(("shut", "missing"), [("b.tif", "b-x2.png"), ("sub", "sub/z-x2.png")])
def test_what_must_not_be_read_is_named_and_stops_no_other(
    folder: Path, tiny_weights: Path, shut: str, missing: str, options: tuple[str, ...]
):
    (folder / shut).chmod(0)
    done = restore(folder, *options, weights=tiny_weights)
    assert done.returncode == 1
    first, summary = done.stderr.splitlines()
    assert first == f"hfmoe: {folder / shut}: Permission denied"
    assert summary == "hfmoe: 1 of 5 images failed"
    whole = {"a-x2.png", "b-x2.png", "large-x2.png", "y-x2.png", "sub/z-x2.png"}
    assert results(folder.parent / "in-x2") == whole - {missing}


@pytest.mark.parametrize("target", ["shut", "shut/out", "shut/one.png"])
@pytest.mark.parametrize("stream", ["off", "on"])
def test_a_place_that_must_not_be_written_is_named_and_left_as_it_is(
    folder: Path, tiny_weights: Path, target: str, stream: str
):
    shut = folder.parent / "shut"
    shut.mkdir(mode=0o555)
    before = digests(folder.parent)
    source = folder / "a.png" if target.endswith(".png") else folder
    done = restore(source, "--output", folder.parent / target, "--stream", stream, weights=tiny_weights)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert "Permission denied" in line
    assert str(shut) in line
    assert digests(folder.parent) == before
    assert list(shut.iterdir()) == []


@pytest.mark.parametrize("stream", ["off", "on"])
def test_a_full_disk_fails_what_has_no_room_leaves_no_half_file_and_the_job_goes_on(
    folder: Path, tiny_weights: Path, stream: str
):
    root, before = folder.parent / "in-x2", digests(folder)
    small = {"a-x2.png", "b-x2.png", "y-x2.png", "sub/z-x2.png"}
    options = (folder, "--stream", stream)
    full = restore(*options, weights=tiny_weights, before=without_room)
    assert full.returncode == 1
    first, summary = full.stderr.splitlines()
    assert first.startswith(f"hfmoe: {root / 'large-x2.png'}: cannot be written (File too large)")
    assert summary == "hfmoe: 1 of 5 images failed"
    assert results(root) == small
    again = restore(*options, weights=tiny_weights, before=None)
    assert again.returncode == 0
    assert "4 of 5 were done before" in again.stdout
    assert results(root) == small | {"large-x2.png"}
    assert not list(root.rglob(".large*"))
    assert all(min(read_picture(root / name).colour.shape[1:]) >= 18 for name in results(root))
    assert digests(folder) == before
