"""What the page does with photos, without a browser."""

import struct
import threading
import zlib
from pathlib import Path

import pytest

from hfmoe.cli.app import run
from hfmoe.infer.restorer import Restorer
from hfmoe.models.header import shipped
from hfmoe.models.weights import load_weights
from hfmoe.web.choices import FORMATS, PROBLEMS, Request
from hfmoe.web.limits import Limits, TooMuchError
from hfmoe.web.sessions import Sessions, remove_unfinished_uploads
from hfmoe.web.work import Cancelled, Finished, Refused, TileDone, open_model, restore_photos


def all_events(photos: list[Path], folder: Path, wish: Request, **limits: float) -> list:
    found = Limits(**limits)  # pyright: ignore[reportArgumentType]
    return list(restore_photos(photos, folder, wish, limits=found, stop=threading.Event(), device="cpu"))


@pytest.mark.parametrize("name", FORMATS)
def test_results_are_those_of_the_command_byte_for_byte(
    name: str, photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wish = Request("Worn photo", 2, 0.7, name)
    made = [event for event in all_events(photos, tmp_path / "page", wish) if isinstance(event, Finished)]
    assert [event.source for event in made] == photos
    monkeypatch.chdir(photos[0].parent)
    command = wish.command(open_model(wish.model, "cpu"), [photo.name for photo in photos])
    assert run(command.split()[1:]) == 0
    for event in made:
        assert event.result.read_bytes() == (photos[0].parent / event.result.name).read_bytes()


def test_every_choice_has_a_model_of_its_scale() -> None:
    for problem, models in PROBLEMS.items():
        for scale, name in models.items():
            assert load_weights(shipped()[name]).config.scale == scale
            assert Request(problem, scale).model == name
    for wrong in ({"problem": "Hunger"}, {"problem": "Noise", "scale": 4}, {"format": "EXE"}):
        with pytest.raises(ValueError, match=str(next(reversed(wrong.values())))):
            Request(**wrong)  # pyright: ignore[reportArgumentType]


def claiming(path: Path, side: int) -> Path:
    """A PNG of a few bytes whose header claims to be large."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def test_bad_photos_are_refused_by_name_and_stop_no_other(photos: list[Path], tmp_path: Path) -> None:
    folder = photos[0].parent
    (folder / "empty.png").touch()
    (folder / "page.jpg").write_text("<script>alert(1)</script>")
    cut = folder / "cut.jpg"
    cut.write_bytes(photos[0].read_bytes()[:-200])
    bombs = [claiming(folder / "bomb.png", 2**20), claiming(folder / "wide.png", 16_000)]
    bad = [folder / "empty.png", folder / "page.jpg", cut, *bombs, folder / "gone.png"]
    events = all_events([*bad, photos[0]], tmp_path / "page", Request("Clean, only too small", 2))
    refused = [event for event in events if isinstance(event, Refused)]
    assert sorted(event.name for event in refused) == sorted(path.name for path in bad)
    for event in refused:
        assert event.name in event.reason and str(tmp_path) not in event.reason
    assert [event.source for event in events if isinstance(event, Finished)] == [photos[0]]


def test_limits_are_those_of_memory_and_of_the_server(
    photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wish = Request("Clean, only too small", 4)
    (refused,) = all_events(photos[:1], tmp_path, wish, megapixels=0.01)
    assert refused.reason == "holiday.jpg: the result of 224 x 160 is more than 0.01 megapixels"
    monkeypatch.setattr(Restorer, "free_bytes", lambda self, place: 2**20)
    (refused,) = all_events(photos[:1], tmp_path, wish)
    assert "GiB of memory" in refused.reason
    with pytest.raises(TooMuchError, match="3 photos are more than the 2"):
        Limits(photos=2).check_count(3)
    with pytest.raises(ValueError, match="photos 0 must be above 0"):
        Limits(photos=0)


def test_a_stopped_request_ends_and_its_thread_with_it(photos: list[Path], tmp_path: Path) -> None:
    stop = threading.Event()
    events = restore_photos(photos, tmp_path / "a", Request(), limits=Limits(), stop=stop, device="cpu")
    assert isinstance(next(events), TileDone)
    stop.set()
    with pytest.raises(Cancelled):
        list(events)
    events = restore_photos(
        photos, tmp_path / "b", Request(), limits=Limits(), stop=threading.Event(), device="cpu"
    )
    next(events)
    events.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "restore"]


def test_who_leaves_takes_his_files_along_and_no_others(tmp_path: Path) -> None:
    with Sessions(tmp_path) as sessions:
        shared, own = (sessions.folder / name / "photo.jpg" for name in ("shared", "own"))
        for path in (shared, own):
            path.parent.mkdir()
            path.write_bytes(b"photo")
        sessions.note("first", [shared, own])
        sessions.note("second", [shared])
        session = sessions.session("first")
        (session.begin() / "result.png").write_bytes(b"result")
        stop = session.stop
        session.end()
        stop.set()
        session.prepare()
        session.begin()
        assert stop.is_set() and not session.stop.is_set(), "each request has a stop of its own"
        session.end()
        sessions.leave("first")
        assert shared.exists() and not own.exists() and not session.folder.exists()
        for outside in (tmp_path / "x.jpg", Path("/etc/hostname"), sessions.folder / "../x.jpg"):
            (tmp_path / "x.jpg").touch()
            with pytest.raises(ValueError, match="is no upload of this page"):
                sessions.note("second", [outside])
        (sessions.folder / "tmpabc").touch()
        remove_unfinished_uploads(sessions.folder, patience=-1.0)
        sessions.leave("second")
        assert [path.name for path in sessions.folder.iterdir()] == [".lock"]
    assert not sessions.folder.exists()


def test_folders_of_killed_servers_are_removed_and_those_of_others_are_not(tmp_path: Path) -> None:
    killed = tmp_path / "hfmoe-web-killed"
    killed.mkdir()
    (killed / ".lock").touch()
    with Sessions(tmp_path) as first, Sessions(tmp_path) as second:
        assert not killed.exists()
        assert first.folder.exists() and second.folder.exists()
