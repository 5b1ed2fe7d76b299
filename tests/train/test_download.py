"""Fetching weights, from this machine alone."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hfmoe.cli.app import run
from hfmoe.train.vgg_weights import SOURCES, DownloadError, WeightsSource, download

CONTENT = bytes(range(256)) * 9000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Answers(http.server.BaseHTTPRequestHandler):
    """Gives CONTENT at /whole, breaks off at /short, and knows nothing else."""

    def do_GET(self) -> None:  # noqa: N802 (the name that http.server asks for)
        if self.path not in ("/whole", "/short"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT if self.path == "/whole" else CONTENT[:1000])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


@pytest.fixture
def stored(tmp_path: Path) -> str:
    path = tmp_path / "stored.bin"
    path.write_bytes(CONTENT)
    return path.as_uri()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "output"
    path.mkdir()
    return path


def test_a_file_of_the_right_sum_arrives_whole_and_says_how_far_it_is(server: str, folder: Path):
    seen = []
    target = folder / "weights.pth"
    download(WeightsSource(f"{server}/whole", SHA256), target, watch=lambda *at: seen.append(at))
    assert target.read_bytes() == CONTENT
    assert [path.name for path in folder.iterdir()] == ["weights.pth"]
    assert seen[-1] == (len(CONTENT), len(CONTENT)) and len(seen) > 1


def test_a_file_of_another_sum_is_not_kept(stored: str, folder: Path):
    with pytest.raises(DownloadError, match=f"has sha256 {SHA256}, must be 00"):
        download(WeightsSource(stored, "00"), folder / "weights.pth")
    assert not list(folder.iterdir())


def test_a_connection_that_breaks_off_leaves_nothing(server: str, folder: Path):
    with pytest.raises(DownloadError, match=f"ended after 1000 of {len(CONTENT)} bytes"):
        download(WeightsSource(f"{server}/short", SHA256), folder / "weights.pth")
    assert not list(folder.iterdir())


@pytest.mark.parametrize("path", ["/nothing", None])
def test_what_cannot_be_fetched_is_named_with_the_reason(server: str, folder: Path, path: str | None):
    url = f"{server}{path}" if path else "http://127.0.0.1:1/closed"
    with pytest.raises(DownloadError, match=f"{url} cannot be fetched: (Not Found|.*refused)"):
        download(WeightsSource(url, SHA256), folder / "weights.pth")
    assert not list(folder.iterdir())


def test_ctrl_c_leaves_nothing(stored: str, folder: Path):
    def stop(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(WeightsSource(stored, SHA256), folder / "weights.pth", watch=stop)
    assert not list(folder.iterdir())


def test_a_file_that_exists_is_not_written_over(stored: str, folder: Path):
    target = folder / "weights.pth"
    target.write_bytes(b"mine")
    with pytest.raises(DownloadError, match="exists already"):
        download(WeightsSource(stored, SHA256), target)
    assert target.read_bytes() == b"mine"


@pytest.mark.parametrize("name", SOURCES)
def test_the_known_files_carry_the_start_of_their_sum_in_their_name(name: str):
    source = SOURCES[name]
    assert len(bytes.fromhex(source.sha256)) == 32
    assert source.url.endswith(f"/{name}-{source.sha256[:8]}.pth")


def test_the_command_checks_the_sum_of_whatever_url_it_is_given(
    stored: str, folder: Path, capsys: pytest.CaptureFixture[str]
):
    status = run(["download", "vgg19", "--output", str(folder / "vgg19.pth"), "--url", stored])
    assert status == 1
    assert f"has sha256 {SHA256}, must be dcbb9e9d" in capsys.readouterr().err
    assert not list(folder.iterdir())


def test_the_command_names_what_it_can_fetch(capsys: pytest.CaptureFixture[str]):
    assert run(["download", "vgg18"]) == 2
    assert "'vgg18' must be one of vgg16, vgg19" in capsys.readouterr().err


def test_a_folder_that_is_not_there_is_made(stored: str, folder: Path):
    target = folder / "weights" / "vgg16.pth"
    download(WeightsSource(stored, SHA256), target)
    assert target.read_bytes() == CONTENT
