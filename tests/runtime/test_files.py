"""Files that appear whole or not at all, and locks."""

import errno
import os
from pathlib import Path

import pytest

from hfmoe.runtime.files import (
    BusyError,
    atomic,
    locked,
    read_json,
    remove_unfinished,
    write_atomically,
    write_json,
)


def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path: Path, monkeypatch):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "state.bin"
    write_atomically(path, b"before")
    with pytest.raises(ValueError, match="half way"), atomic(path) as unfinished:
        unfinished.write_bytes(b"ha")
        raise ValueError("half way")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"after")
    assert path.read_bytes() == b"before" and list(tmp_path.iterdir()) == [path]


def test_json_comes_back_and_what_is_none_is_none(tmp_path: Path):
    path = tmp_path / "value.json"
    write_json(path, {"a": [1, None]})
    assert read_json(path) == {"a": [1, None]}
    path.write_text("{")
    assert read_json(path) is None and read_json(tmp_path / "other") is None


def test_what_killed_processes_left_of_a_target_goes_and_other_files_stay(tmp_path: Path):
    names = (".a-0123abcd.png", ".b-0123abcd.png", ".a-0123abcd.jpg", ".a.png")
    for name in names:
        (tmp_path / name).touch()
    remove_unfinished([tmp_path / "a.png", tmp_path / "nowhere" / "c.png"])
    assert {path.name for path in tmp_path.iterdir()} == set(names[1:])


@pytest.mark.skipif(os.name == "nt", reason="no locks there")
def test_a_lock_is_held_by_one_at_a_time(tmp_path: Path):
    path = tmp_path / "lock"
    with locked(path), pytest.raises(BusyError, match="another process"), locked(path, patience=0.1):
        pass
    with locked(path):
        pass
