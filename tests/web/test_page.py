"""The page in a real browser."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips

pytestmark = pytest.mark.slow
PATIENCE = 120_000
"""Milliseconds: the machine may be busy."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def address(home: Path, serve: Any) -> Iterator[str]:
    pytest.importorskip("gradio", reason="the extra web is not installed")
    with serve("--photos", "3", "--megabytes", "1", "--gigabytes", "0.02", home=home) as found:
        yield found
    assert not list(home.glob("hfmoe-web-*"))


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    with browser.new_context(viewport={"width": 360, "height": 740}) as context:
        opened = context.new_page()
        opened.set_default_timeout(PATIENCE)
        opened.goto(address)
        opened.get_by_role("button", name="Restore").wait_for()
        yield opened


def drop(page: Any, *paths: Path) -> None:
    """Drop files on the page, as from a window of files."""
    for path in paths:
        content = list(path.read_bytes())
        data = page.evaluate_handle(
            """([content, name]) => { const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(content)], name)); return data; }""",
            [content, path.name],
        )
        page.locator("#photos button").first.dispatch_event("drop", {"dataTransfer": data})
    page.get_by_text(paths[-1].stem).first.wait_for()


def left_over(home: Path) -> list[Path]:
    (folder,) = home.glob("hfmoe-web-*")
    return [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size]


def test_a_dropped_photo_is_restored_shown_and_gone_with_its_visitor(
    page: Any, photos: list[Path], home: Path
) -> None:
    drop(page, photos[0])
    page.get_by_label("Twice as wide and high").check()
    page.click("#restore")
    page.get_by_text("1 of 1 photos restored").wait_for()
    with page.expect_download() as download:
        page.locator("#results a").first.click()
    result = pyvips.Image.new_from_file(str(download.value.path()))
    assert (result.width, result.height) == (80, 112)
    assert result.get_typeof("icc-profile-data") and "Camera" in str(result.get("exif-ifd0-Make"))
    after = page.locator("before-after img[slot=after]")
    after.wait_for()
    assert after.evaluate("image => image.decode().then(() => image.getBoundingClientRect().width)") == 80
    page.locator("before-after input").press("Home")
    assert page.locator("before-after").evaluate("e => e.style.getPropertyValue('--cut')") == "0px"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "wider than a phone"
    page.close()
    deadline = time.monotonic() + 60
    while left_over(home) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert not left_over(home)


def test_keyboard_alone_suffices(page: Any, photos: list[Path]) -> None:
    def go_to(selector: str) -> None:
        for _ in range(60):
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"no way by Tab to {selector}")

    choosers: list[Any] = []
    page.on("filechooser", lambda chooser: choosers.append(chooser))
    go_to("#photos button")
    page.wait_for_timeout(1000)  # until the browser leaves choosers to Playwright
    page.keyboard.press("Enter")
    for _ in range(100):
        if choosers:
            break
        page.wait_for_timeout(100)
    choosers[0].set_files(str(photos[2]))
    page.get_by_text(photos[2].stem).first.wait_for()
    go_to("#problem input[value=Noise]")
    page.keyboard.press("Space")
    page.get_by_label("Noise").and_(page.locator(":checked")).wait_for()
    go_to("#restore")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineWidth") == "3px"
    page.keyboard.press("Enter")
    page.get_by_text("1 of 1 photos restored").wait_for()
    go_to("#results a")


def test_a_request_can_be_cancelled_and_the_next_one_runs(page: Any, photos: list[Path]) -> None:
    large = photos[0].parent / "large.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), np.uint8)
    pyvips.Image.new_from_array(noise).jpegsave(str(large), Q=20)
    drop(page, large)
    page.get_by_label("Clean, only too small").check()
    page.get_by_label("Three times").check()
    page.click("#restore")
    page.locator("#state progress").wait_for()
    page.click("#cancel")
    page.get_by_text("Cancelled").wait_for()
    page.locator("#photos [aria-label='Clear']").click()
    drop(page, photos[0])
    page.get_by_label("Twice as wide and high").check()
    page.click("#restore")
    page.get_by_text("1 of 1 photos restored").wait_for()


def test_bad_files_are_named_and_others_restored(page: Any, photos: list[Path], tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"GIF89a, not at all")
    page.set_input_files("#photos input[type=file]", [str(bad), str(photos[2])])
    page.get_by_text("gray").first.wait_for()
    page.click("#restore")
    page.get_by_text("1 of 2 photos restored").wait_for()
    assert "bad.jpg" in page.get_by_role("alert").first.inner_text()


def post(url: str, body: bytes, kind: str) -> int:
    request = urllib.request.Request(url, body, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except urllib.error.URLError as error:  # refused before all was sent
        assert isinstance(error.reason, BrokenPipeError | ConnectionResetError)
        return 507


def upload(address: str, name: str, content: bytes) -> int:
    head = f'--x\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
    return post(
        f"{address}gradio_api/upload",
        head.encode() + content + b"\r\n--x--\r\n",
        "multipart/form-data; boundary=x",
    )


def test_the_server_survives_what_no_browser_would_send(page: Any, address: str, home: Path) -> None:
    for name in ("../../x.jpg", "/etc/x.jpg", "..", "a" * 300 + ".jpg", "x\\..\\y.jpg"):
        assert upload(address, name, b"x") in (200, 400)
    assert not list(home.glob("*.jpg")) and not list(home.parent.glob("x.jpg"))
    assert upload(address, "large.jpg", bytes(2 * 2**20)) == 413
    config = json.loads(urllib.request.urlopen(f"{address}config").read())
    (number,) = [
        each["id"] for each in config["dependencies"] if each["cancels"] == [] and len(each["inputs"]) == 5
    ]
    stolen = {"path": "/etc/hostname", "meta": {"_type": "gradio.FileData"}}
    asked = {"data": [[stolen], "Noise", 1, 1, "PNG"], "fn_index": number, "session_hash": "thief"}
    codes = {post(f"{address}gradio_api/queue/join", json.dumps(asked).encode(), "application/json")}
    for _ in range(1000):
        codes.add(post(f"{address}gradio_api/queue/join", json.dumps(asked).encode(), "application/json"))
    assert codes <= {200, 503}
    assert {upload(address, f"{number}.jpg", bytes(2**20 - 1000)) for number in range(40)} <= {200, 507}
    assert sum(path.stat().st_size for path in left_over(home)) < 2.1e7
    page.reload()
    page.get_by_role("button", name="Restore").wait_for()
