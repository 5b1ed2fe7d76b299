"""The examples run as the docs say: a preloading server of two workers, and a pool of processes."""

import io
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[2] / "examples"
pytestmark = pytest.mark.slow


def png(seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


@pytest.fixture
def server(tiny_weights: Path, tmp_path: Path) -> Iterator[str]:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "--preload", "-w", "2", "-b", f"127.0.0.1:{port}"]
    command += ["-k", "uvicorn_worker.UvicornWorker", "--chdir", str(EXAMPLES), "server:app"]
    environment = {**os.environ, "MODEL": str(tiny_weights), "OMP_NUM_THREADS": "2"}
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stderr=log, stdout=log)
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/restore"
    finally:
        process.terminate()
        process.wait(30)


def post(address: str, content: bytes) -> bytes:
    headers = {"Content-Type": "application/octet-stream"}
    request = urllib.request.Request(address, data=content, headers=headers)
    with urllib.request.urlopen(request, timeout=120) as answer:
        return answer.read()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_preloading_server_restores_what_is_sent_and_refuses_the_rest_by_name(server: str):
    for seed in range(4):
        assert Image.open(io.BytesIO(post(server, png(seed)))).size == (48, 40)
    assert Image.open(io.BytesIO(post(f"{server}?width=30", png()))).size == (30, 25)
    for address, content, rule in (
        (server, b"text", "cut off, or not a"),
        (f"{server}?width=999", png(), "the model enlarges 2 times"),
    ):
        with pytest.raises(urllib.error.HTTPError) as refused:
            post(address, content)
        with refused.value as answer:
            assert answer.code == 422
            assert rule in answer.read().decode()


def test_a_pool_restores_a_folder_and_says_what_failed(tiny_weights: Path, tmp_path: Path):
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        (tmp_path / f"in/{name}.png").write_bytes(png())
    (tmp_path / "in/notes.txt").write_text("text")
    program = [sys.executable, str(EXAMPLES / "pool.py"), str(tmp_path / "in"), str(tmp_path / "out")]
    done = subprocess.run([*program, str(tiny_weights)], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == ["a.png: done", "b.png: done"]
    assert lines[2].startswith("notes.txt: the image: cut off, or not a")
    with Image.open(tmp_path / "out/a.png") as result:
        assert result.size == (48, 40)
