"""The manifest: what is done is known again, whatever happened to the process or the files."""

import json
import os
from pathlib import Path

import pytest

from hfmoe.batch.manifest import MANIFEST, Identity, Manifest, identify

SETTINGS = {"model": "a", "scale": 2}


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    source, target = tmp_path / "in" / "a.png", tmp_path / "out" / "b" / "a-x2.png"
    for path in (source, target):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"content of a file")
    return source, target


def book(pair: tuple[Path, Path]) -> Path:
    return pair[1].parents[1] / MANIFEST


def write_down(pair: tuple[Path, Path], **settings: object) -> None:
    with Manifest(book(pair), {**SETTINGS, **settings}) as manifest:
        manifest.add(*pair, read=identify(pair[0]), seconds=1.0)


def is_done(pair: tuple[Path, Path], **settings: object) -> bool:
    with Manifest(book(pair), {**SETTINGS, **settings}) as manifest:
        return manifest.has(*pair)


def test_what_is_written_down_is_known_by_the_next_process(pair):
    assert not is_done(pair)
    write_down(pair)
    assert is_done(pair)


def test_other_settings_sources_and_results_are_not_done(pair):
    write_down(pair)
    assert not is_done(pair, scale=3)
    assert not is_done((pair[0].with_name("other.png"), pair[1]))
    assert not is_done((pair[0], pair[1].with_name("other.png")))


def test_a_source_that_changed_is_not_done(pair):
    write_down(pair)
    times = pair[0].stat()
    os.utime(pair[0], ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    assert not is_done(pair)
    write_down(pair)
    pair[0].write_bytes(b"longer content of a file")
    assert not is_done(pair)


def test_a_result_that_is_gone_or_cut_off_is_not_done(pair):
    write_down(pair)
    pair[1].write_bytes(b"content")
    assert not is_done(pair)
    pair[1].unlink()
    assert not is_done(pair)


def test_a_source_that_changed_while_it_was_read_is_not_done(pair):
    with Manifest(book(pair), SETTINGS) as manifest:
        manifest.add(*pair, read=Identity(1, 2), seconds=1.0)
    assert not is_done(pair)


def test_a_failure_takes_back_what_was_done(pair):
    write_down(pair)
    with Manifest(book(pair), SETTINGS) as manifest:
        manifest.add_failure(pair[0], pair[1], "no more")
    assert not is_done(pair)


def test_both_folders_can_be_moved_together(pair, tmp_path: Path):
    write_down(pair)
    (tmp_path / "elsewhere").mkdir()
    for name in ("in", "out"):
        (tmp_path / name).rename(tmp_path / "elsewhere" / name)
    assert is_done((tmp_path / "elsewhere/in/a.png", tmp_path / "elsewhere/out/b/a-x2.png"))


def test_names_that_are_no_text_are_written_down(tmp_path: Path):
    source = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\n.png"))
    source.write_bytes(b"a")
    pair = (source, tmp_path / "a.png")
    pair[1].write_bytes(b"b")
    with Manifest(tmp_path / MANIFEST, SETTINGS) as manifest:
        manifest.add(*pair, read=identify(source), seconds=0.0)
    with Manifest(tmp_path / MANIFEST, SETTINGS) as manifest:
        assert manifest.has(*pair)


@pytest.mark.parametrize("kept", range(0, 400, 37))
def test_a_line_cut_off_anywhere_loses_itself_alone(pair, kept: int):
    write_down(pair)
    before = book(pair).read_bytes()
    write_down(pair, scale=3)
    whole = book(pair).read_bytes()
    book(pair).write_bytes(whole[: min(len(before) + kept, len(whole))])
    assert is_done(pair) or is_done(pair, scale=3)
    assert all(json.loads(line) for line in book(pair).read_text().splitlines())


def test_a_file_that_is_no_manifest_is_refused_and_left_as_it_is(pair):
    for content in (b"precious\n", b"[1]\n", b'{"a": 1}\n', b'{"target": "a", "read": 3}\n'):
        book(pair).write_bytes(content)
        with pytest.raises(ValueError, match="line 1 is not one of a manifest"):
            is_done(pair)
        assert book(pair).read_bytes() == content


def test_two_jobs_do_not_write_to_one_folder(pair):
    with (
        Manifest(book(pair), SETTINGS),
        pytest.raises(ValueError, match="another job is writing to this folder"),
    ):
        is_done(pair)
    assert not is_done(pair)
