"""Photos to give to the page, a browser, and servers in processes of their own."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest
import pyvips


def draw(height: int, width: int, bands: int = 3, *, bits: int = 8) -> np.ndarray:
    """A picture of waves, the same each time; the last of 2 or 4 bands goes from clear to opaque."""
    y, x = np.mgrid[:height, :width]
    levels = [np.sin(x / (7 + band)) * np.cos(y / (9 - band)) / 2 + 0.5 for band in range(bands)]
    if bands in (2, 4):
        levels[-1] = np.clip(x / (width - 1) * 1.5 - 0.25, 0, 1)
    kind = np.uint8 if bits == 8 else np.uint16
    return np.round(np.stack(levels, -1) * (2**bits - 1)).astype(kind)


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """A JPEG turned by EXIF with a profile, a PNG of 16 bits with alpha, a gray WebP."""
    folder = tmp_path / "photos"
    folder.mkdir()
    names = [folder / name for name in ("holiday.jpg", "scan.png", "gray.webp")]
    image = pyvips.Image.new_from_array(draw(40, 56), interpretation="srgb")
    image = image.icc_transform("srgb", input_profile="srgb")
    image = image.copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", 6)
    make = "Camera (Camera, ASCII, 7 components, 7)"
    image.set_type(pyvips.GValue.gstr_type, "exif-ifd0-Make", make)
    image.jpegsave(str(names[0]), Q=80)
    pyvips.Image.new_from_array(draw(33, 47, 4, bits=16), interpretation="rgb16").pngsave(str(names[1]))
    pyvips.Image.new_from_array(draw(30, 30, 1)).webpsave(str(names[2]), Q=80)
    return names


@contextmanager
def running(*options: str, home: Path) -> Iterator[str]:
    """`hfmoe web` in a process whose temporary files go to `home`; gives its address, ends it by SIGTERM."""
    environment = {**os.environ, "TMPDIR": str(home), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "hfmoe", "web", *options]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            assert line.startswith("http://127.0.0.1:"), line
            yield line.split()[0]
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)


@pytest.fixture(scope="session")
def serve() -> Callable[..., AbstractContextManager[str]]:
    """A function that runs `hfmoe web` in a process of its own."""
    return running


@pytest.fixture(scope="session")
def browser() -> Iterator:
    """Debian's chromium, driven by Playwright."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium on this machine (apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()
