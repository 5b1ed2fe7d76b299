"""The page that restores in the browser itself, with a tiny network."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips

import hfmoe
from hfmoe.image.reading import read_picture

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
PATIENCE = 180_000
"""Milliseconds: the machine may be busy."""


def needs_the_runtime() -> None:
    if not (ROOT / "site/node_modules/onnxruntime-web").is_dir():
        pytest.skip("onnxruntime-web is not installed (npm ci --ignore-scripts in site/)")


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory, tiny_weights: Path) -> Path:
    """The page, built with a tiny network."""
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    needs_the_runtime()
    folder = tmp_path_factory.mktemp("site")
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    command = [sys.executable, str(ROOT / "scripts/build_site.py"), str(folder / "dist"), str(tiny_weights)]
    subprocess.run(command, env=environment, check=True)
    return folder / "dist"


@pytest.fixture(scope="module")
def address(dist: Path, serve: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve("--static", str(dist), home=tmp_path_factory.mktemp("server")) as found:
        yield f"{found}?threads=1&device=wasm"


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    with browser.new_context(viewport={"width": 360, "height": 740}) as context:
        opened = context.new_page()
        opened.set_default_timeout(PATIENCE)
        opened.goto(address)
        opened.locator("body[data-ready]").wait_for()
        yield opened


def drop(page: Any, path: Path) -> None:
    """Drop a file on the page, as from a window of files."""
    data = page.evaluate_handle(
        """([content, name]) => { const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(content)], name)); return data; }""",
        [list(path.read_bytes()), path.name],
    )
    page.locator("#drop").dispatch_event("drop", {"dataTransfer": data})
    page.locator("#facts", has_text=path.name).wait_for()


def restore(page: Any) -> None:
    page.click("#restore")
    page.get_by_text("Restored by 1 thread").wait_for()


def saved(page: Any, folder: Path, form: str = "PNG") -> Path:
    with page.expect_download() as download:
        page.get_by_role("button", name=f"Save {form}").click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def largest_difference(theirs: Any, ours: Any, seen: Any) -> float:
    return float(np.abs((np.asarray(theirs) - np.asarray(ours)) * seen).max())


def picture(height: int, width: int, bands: int) -> np.ndarray:
    """Waves and an edge; a fourth band hides a corner."""
    y, x = np.mgrid[:height, :width]
    levels = [np.sin(x / (7 + band)) * np.cos(y / (9 - band)) / 2 + 0.5 for band in range(bands)]
    levels[0] = np.where(x + y > width, levels[0], 0.2)
    if bands == 4:
        levels[3] = np.where(x + 2 * y > width / 2, 1, 0)
    return np.round(np.stack(levels, -1) * 255).astype(np.uint8)


def test_the_browser_restores_as_python_does(page: Any, tmp_path: Path, tiny_weights: Path) -> None:
    turned = pyvips.Image.new_from_array(picture(200, 420, 3), interpretation="srgb").copy()
    turned.set_type(pyvips.GValue.gint_type, "orientation", 6)
    turned.jpegsave(str(tmp_path / "turned, of many tiles.jpg"), Q=95, subsample_mode="off")
    pyvips.Image.new_from_array(picture(50, 61, 4)).pngsave(str(tmp_path / "hidden corner.png"))
    pyvips.Image.new_from_array(picture(33, 1, 1)).pngsave(str(tmp_path / "gray, one wide.png"))
    for photo in ("turned, of many tiles.jpg", "hidden corner.png", "gray, one wide.png"):
        drop(page, tmp_path / photo)
        restore(page)
        theirs = read_picture(saved(page, tmp_path))
        ours = hfmoe.restore(tmp_path / photo, tiny_weights, tile="off")
        assert theirs.colour.shape[1:] == ours.colour.shape[1:], photo
        assert (theirs.alpha is None) == (ours.alpha is None), photo
        seen = 1.0 if ours.alpha is None else np.asarray(ours.alpha) > 0.5
        assert largest_difference(theirs.colour, ours.colour, seen) <= 2 / 255 + 1e-6, photo
        if ours.alpha is not None:
            assert largest_difference(theirs.alpha, ours.alpha, 1.0) <= 2 / 255 + 1e-6


def test_a_photo_is_slid_and_saved_on_a_phone_after_a_bad_file(
    page: Any, photos: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"GIF89a, not at all")
    page.set_input_files("#photo", str(tmp_path / "bad.jpg"))
    page.get_by_text("bad.jpg: no picture that this browser can read").wait_for()
    assert page.locator("#restore").is_disabled()
    drop(page, photos[0])
    restore(page)
    for form, kind in (("PNG", "png"), ("JPEG", "jpg"), ("WebP", "webp")):
        path = saved(page, tmp_path, form)
        image = pyvips.Image.new_from_file(str(path))
        assert path.name == f"holiday-x2.{kind}" and (image.width, image.height) == (80, 112)
    page.locator("before-after input").press("Home")
    assert page.locator("before-after").evaluate("e => e.style.getPropertyValue('--cut')") == "0px"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "wider than a phone"


def test_work_is_cancelled_and_the_next_runs_by_the_keyboard_alone(
    page: Any, photos: list[Path], tmp_path: Path
) -> None:
    def go_to(selector: str) -> None:
        for _ in range(40):
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"no way by Tab to {selector}")

    large = tmp_path / "large.png"
    pyvips.Image.new_from_array(picture(1500, 1500, 3)).pngsave(str(large))
    go_to("#photo")
    with page.expect_file_chooser() as chooser:
        page.wait_for_timeout(1000)  # until the browser leaves choosers to Playwright
        page.keyboard.press("Enter")
    chooser.value.set_files(str(large))
    page.locator("#restore:enabled").wait_for()
    go_to("#restore")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineWidth") == "3px"
    page.keyboard.press("Enter")
    go_to("#cancel")
    page.keyboard.press("Enter")
    page.get_by_text("Cancelled").wait_for()
    assert page.get_by_role("button", name="Save PNG").is_disabled()
    drop(page, photos[0])
    go_to("#restore")
    page.keyboard.press("Enter")
    page.get_by_text("Restored by 1 thread").wait_for()
    go_to("[data-type=png]")


def test_after_the_first_visit_no_server_is_needed(
    browser: Any, dist: Path, serve: Any, photos: list[Path], tmp_path: Path
) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        with serve("--static", str(dist), home=tmp_path) as address:
            page.goto(f"{address}?threads=1&device=wasm")
            page.get_by_text("without a connection").wait_for()
        page.reload()
        drop(page, photos[0])
        restore(page)


def test_a_folder_of_other_things_is_not_replaced(tmp_path: Path) -> None:
    needs_the_runtime()
    (tmp_path / "letters.txt").write_text("mine")
    command = [sys.executable, str(ROOT / "scripts/build_site.py"), str(tmp_path)]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    assert child.returncode == 1 and "other things" in child.stderr
    assert (tmp_path / "letters.txt").read_text() == "mine"
