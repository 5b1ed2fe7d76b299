"""Files of several pages: all of them restored and kept, or the file refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
from PIL import Image

import hfmoe
from hfmoe.cli.app import run
from hfmoe.image.pages import open_pages
from hfmoe.infer.restorer import Restorer

SIZE = (20, 28)


def frames(count: int = 3) -> list[Image.Image]:
    """Plain areas of few colours that move, so that a GIF's palette holds them."""
    found = []
    for number in range(count):
        pixels = np.full((*SIZE, 3), 40, np.uint8)
        pixels[4:12, 4 + 4 * number : 14 + 4 * number] = (200, 60 * number, 30)
        found.append(Image.fromarray(pixels))
    return found


def save(path: Path, count: int = 3) -> Path:
    first, *rest = frames(count)
    options: dict[str, Any] = {"save_all": True, "append_images": rest}
    if path.suffix != ".tif":
        options |= {"duration": [50, 80, 110][:count], "loop": 2}
    if path.suffix == ".webp":
        options["lossless"] = True
    first.save(path, **options)
    return path


def restore(source: Path, weights: Path, *options: object) -> int:
    return run(["restore", str(source), "--model", str(weights), *map(str, options)])


@pytest.fixture(scope="module")
def restorer(tiny_weights: Path) -> Restorer:
    return hfmoe.load(tiny_weights)


@pytest.mark.parametrize("suffix", [".tif", ".webp", ".gif"])
@pytest.mark.parametrize("target", ["tif", "webp", "gif"])
def test_every_page_is_restored_and_kept(
    suffix: str, target: str, tiny_weights: Path, restorer: Restorer, tmp_path
):
    source = save(tmp_path / f"in{suffix}")
    assert restore(source, tiny_weights, "--pages", "--format", target, "--quality", 100) == 0
    result = open_pages(tmp_path / f"in-x2.{target}")
    assert len(result.numbers) == 3
    tolerance = 0.2 if target == "gif" else 0.6 / 255
    pages = list(open_pages(source).pictures())
    assert [page.colour.shape for page in pages] == [(3, *SIZE)] * 3
    for page, restored in zip(pages, result.pictures(), strict=True):
        error = np.abs(restorer.picture(page).colour - restored.colour)
        assert error.mean() < tolerance
        assert target == "gif" or error.max() < tolerance
    if suffix != ".tif" and target != "tif":
        assert (result.delays, result.loop) == ((50, 80, 110), open_pages(source).loop)
    assert {path.name for path in tmp_path.iterdir()} == {source.name, f"in-x2.{target}"}


def test_pages_of_sixteen_bits_stay_so(tiny_weights: Path, tmp_path: Path):
    pages = [Image.fromarray(np.full(SIZE, level, np.uint16)) for level in (300, 40000)]
    pages[0].save(tmp_path / "in.tif", save_all=True, append_images=pages[1:])
    assert restore(tmp_path / "in.tif", tiny_weights, "--pages", "--format", "tif") == 0
    result = list(open_pages(tmp_path / "in-x2.tif").pictures())
    assert [page.bits for page in result] == [16, 16]
    assert result[0].colour.mean() < result[1].colour.mean()


def test_without_the_wish_they_are_refused_and_so_are_formats_of_one_picture(
    tiny_weights: Path, tmp_path: Path, capsys
):
    for suffix, rule in ((".tif", "of 3 pages"), (".webp", "of 3 pages"), (".gif", "a GIF file")):
        source = save(tmp_path / f"in{suffix}")
        assert restore(source, tiny_weights) == 1
        said = capsys.readouterr().err
        assert rule in said
        assert said.endswith("; --pages restores each\n")
        assert restore(source, tiny_weights, "--pages", "--output", tmp_path / "out.png") == 1
        assert "out.png: holds one picture" in capsys.readouterr().err
    assert not list(tmp_path.glob("*out*"))
    assert not list(tmp_path.glob("*x2*"))


def test_pages_of_different_sizes_are_refused_and_nothing_is_left(tiny_weights: Path, tmp_path: Path, capsys):
    first, second, _ = frames()
    first.save(tmp_path / "in.tif", save_all=True, append_images=[second.resize((30, 30))])
    assert restore(tmp_path / "in.tif", tiny_weights, "--pages", "--format", "tif") == 1
    [line] = capsys.readouterr().err.splitlines()
    assert "in.tif: page 2 and the first must be of one kind (3 x 30 x 30" in line
    assert [path.name for path in tmp_path.iterdir()] == ["in.tif"]


def test_a_damaged_animation_leaves_nothing(tiny_weights: Path, tmp_path: Path, capsys):
    source = save(tmp_path / "in.gif")
    content = source.read_bytes()
    for length in (6, 20, len(content) // 2, len(content) - 1):
        source.write_bytes(content[:length])
        assert restore(source, tiny_weights, "--pages", "--format", "gif") == 1
        assert "in.gif: damaged or cut off" in capsys.readouterr().err
        assert [path.name for path in tmp_path.iterdir()] == ["in.gif"]


def test_a_folder_with_pages_takes_single_pictures_and_animations(tiny_weights: Path, tmp_path: Path):
    (tmp_path / "in").mkdir()
    save(tmp_path / "in" / "moving.gif")
    save(tmp_path / "in" / "still.gif", 1)
    frames()[0].save(tmp_path / "in" / "photo.png")
    assert restore(tmp_path / "in", tiny_weights, "--pages", "--format", "webp") == 0
    counts = {path.name: len(open_pages(path).numbers) for path in (tmp_path / "in-x2").glob("[a-z]*")}
    assert counts == {"moving-x2.webp": 3, "still-x2.webp": 1, "photo-x2.webp": 1}


def test_smaller_copies_in_a_tiff_are_no_pages(tmp_path: Path):
    pyvips.Image.black(600, 400, bands=3).cast("uchar").tiffsave(
        str(tmp_path / "a.tif"), pyramid=True, tile=True
    )
    assert open_pages(tmp_path / "a.tif").numbers == (0,)
    assert not next(open_pages(tmp_path / "a.tif").pictures()).colour.any()
