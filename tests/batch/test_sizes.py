"""Results of an exact size: files, folders, parts, pages, names and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import hfmoe
from hfmoe.cli.app import run
from hfmoe.image.files import read_picture


def photo(path: Path, width: int, height: int, **options: Any) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return path


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_pictures_of_a_folder_take_the_models_that_their_sizes_need(tmp_path: Path, capsys):
    (tmp_path / "in").mkdir()
    photo(tmp_path / "in/small.png", 20, 10)
    photo(tmp_path / "in/middle.png", 40, 20)
    photo(tmp_path / "in/tiny.png", 4, 4)
    turned = Image.Exif()
    turned[0x112] = 6
    photo(tmp_path / "in/turned.jpg", 10, 20, exif=turned.tobytes())
    assert run(["restore", str(tmp_path / "in"), "--width", "60"]) == 1
    out = tmp_path / "in-w60"
    assert [size_of(out / f"{name}-w60.png") for name in ("small", "middle", "turned")] == [(60, 30)] * 3
    said = capsys.readouterr()
    assert "tiny.png: 4 x 4 pixels to 60 x 60 is 15 times; the model enlarges 4 times" in said.err
    photo(tmp_path / "in/tiny.png", 30, 30)
    assert run(["restore", str(tmp_path / "in"), "--width", "60"]) == 0
    assert "3 of 4 were done before" in capsys.readouterr().out
    manifest = (out / ".hfmoe-job.jsonl").read_text()
    assert '"scale": 2' in manifest
    assert '"scale": 4' in manifest


@pytest.mark.parametrize(
    ("options", "name", "size"),
    [
        (("--scale", "1.5"), "a-x1.5.png", (36, 30)),
        (("--fit", "30x99"), "a-30x99.png", (30, 25)),
        (("--height", "40"), "a-h40.png", (48, 40)),
        (("--width", "12", "--height", "30"), "a-12x30.png", (12, 30)),
        (("--width", "30", "--name", "{stem}_{scale}{suffix}"), "a_w30.png", (30, 25)),
    ],
)
def test_sizes_are_exact_and_in_the_names(tmp_path: Path, tiny_weights: Path, options, name, size):
    source = photo(tmp_path / "a.png", 24, 20)
    for stream in ("off", "on"):
        arguments = ["--model", str(tiny_weights), *options, "--stream", stream]
        assert run(["restore", str(source), *arguments]) == 0
        assert size_of(tmp_path / name) == size
        assert {path.name for path in tmp_path.iterdir()} == {"a.png", name}


def test_parts_and_the_whole_differ_by_rounding_alone(tmp_path: Path, tiny_weights: Path):
    pixels = np.random.default_rng(0).integers(0, 256, (200, 120, 4), dtype=np.uint16) * 257
    pixels[:60, :, 3] = 65535
    Image.fromarray((pixels // 257).astype(np.uint8)).save(tmp_path / "a.png")
    results = []
    for stream in ("off", "on"):
        options: dict[str, Any] = {
            "fit": "150x999",
            "stream": stream,
            "tile": 112,
        }
        summary = hfmoe.restore_files(
            tmp_path / "a.png", tmp_path / f"{stream}.png", model=tiny_weights, **options
        )
        assert not summary.failed
        results.append(read_picture(tmp_path / f"{stream}.png"))
    whole, parts = results
    assert whole.alpha is not None
    assert (whole.alpha - parts.alpha).abs().max() <= 1.01 / 255
    assert ((whole.colour - parts.colour).abs() * (whole.alpha > 0.1)).max() <= 4.01 / 255


def test_pages_have_the_size_that_is_asked_for(tmp_path: Path, tiny_weights: Path):
    first, second = (Image.new("RGB", (24, 20), colour) for colour in ("red", "blue"))
    first.save(tmp_path / "a.gif", save_all=True, append_images=[second], duration=50)
    options: dict[str, Any] = {"model": str(tiny_weights), "pages": True, "width": 36}
    summary = hfmoe.restore_files(tmp_path / "a.gif", tmp_path / "b.webp", **options)
    assert not summary.failed
    with Image.open(tmp_path / "b.webp") as image:
        assert (image.size, image.n_frames) == ((36, 30), 2)  # pyright: ignore[reportAttributeAccessIssue]


def test_what_cannot_be_is_refused_before_the_work(tmp_path: Path, tiny_weights: Path, capsys):
    source = str(photo(tmp_path / "a.png", 24, 20))
    for options, rule in (
        (("--scale", "1.5", "--width", "30"), "exclude each other"),
        (("--model", str(tiny_weights), "--scale", "2.5"), "--scale 2.5: "),
        (("--width", "30", "--engine", "ray"), "--engine ray asks for a --model"),
    ):
        assert run(["restore", source, *options]) == 2
        assert rule in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_results_of_a_size_are_no_sources_of_the_next_run(tmp_path: Path, tiny_weights: Path):
    photo(tmp_path / "a.png", 24, 20)
    photo(tmp_path / "a-12x10.png", 12, 10)  # as of web sites' small copies
    options: dict[str, Any] = {"model": str(tiny_weights)}
    asked_sizes: list[dict[str, Any]] = [{"scale": 1.5}, {"width": 40}, {"fit": "33x99"}, {}]
    for asked in asked_sizes:
        assert not hfmoe.restore_files(tmp_path / "a.png", **options, **asked).failed
    summary = hfmoe.restore_files(tmp_path, tmp_path / "out", **options)
    assert {Path(done.job.source).name for done in summary.done} == {"a.png", "a-12x10.png"}
    assert len(summary.left_out) == 4
