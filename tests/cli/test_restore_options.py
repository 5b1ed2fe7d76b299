"""Formats, metadata, strength and ensemble on the command line."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hfmoe.cli.app import run
from hfmoe.image.files import Picture, read_picture, write_picture


@pytest.fixture
def source(tmp_path: Path) -> Path:
    exif = Image.Exif()
    exif[0x10F] = "Maker"
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.jpg", exif=exif.tobytes(), quality=95)
    return tmp_path / "photo.jpg"


def restore(source: Path, weights: Path, *options: object) -> int:
    return run(["restore", str(source), "--model", str(weights), *map(str, options)])


@pytest.mark.parametrize("form", ["png", "jpg", "jpeg", "webp", "avif", "tif", "TIFF"])
def test_results_are_of_the_format_asked_for(source: Path, tiny_weights: Path, form: str):
    assert restore(source, tiny_weights, "--format", form) == 0
    result = source.with_name(f"photo-x2.{form.lower()}")
    assert read_picture(result).colour.shape == (3, 48, 64)
    assert read_picture(result).metadata.exif is not None


def test_a_file_given_as_output_keeps_its_own_format(source: Path, tiny_weights: Path):
    target = source.with_name("big.webp")
    assert restore(source, tiny_weights, "--format", "tif", "--output", target) == 0
    assert target.read_bytes()[8:12] == b"WEBP"


def test_a_lower_quality_makes_a_smaller_file(source: Path, tiny_weights: Path):
    sizes = []
    for quality in (30, 95):
        target = source.with_name(f"{quality}.jpg")
        assert restore(source, tiny_weights, "--quality", quality, "--output", target) == 0
        sizes.append(target.stat().st_size)
    assert sizes[0] < sizes[1] / 2


def test_strip_drops_what_the_camera_said(source: Path, tiny_weights: Path):
    assert restore(source, tiny_weights) == 0
    assert b"Maker" in source.with_name("photo-x2.png").read_bytes()
    assert restore(source, tiny_weights, "--strip") == 0
    assert b"Maker" not in source.with_name("photo-x2.png").read_bytes()


def test_strength_and_ensemble_change_the_result(source: Path, tiny_weights: Path):
    results = []
    for number, options in enumerate(((), ("--strength", 0), ("--strength", 1), ("--ensemble",))):
        target = source.with_name(f"{number}.png")
        assert restore(source, tiny_weights, "--output", target, *options) == 0
        results.append(read_picture(target).colour)
    plain, weak, full, mean = results
    assert torch.equal(plain, full)
    assert not torch.equal(plain, weak)
    assert not torch.equal(plain, mean)


@pytest.mark.parametrize(
    ("options", "status", "rule"),
    [
        (("--format", "gif"), 2, "--format 'gif' must be one of png, jpg"),
        (("--quality", 0), 2, "--quality 0 must be in [1, 100]"),
        (("--strength", 1.5), 2, "--strength 1.5 must be in [0, 1]"),
    ],
)
def test_wrong_options_are_one_line_and_no_output(
    source: Path, tiny_weights: Path, options: tuple, status: int, rule: str, capsys
):
    assert restore(source, tiny_weights, *options) == status
    [line] = capsys.readouterr().err.splitlines()
    assert rule in line
    assert list(source.parent.iterdir()) == [source]


def test_what_a_format_cannot_hold_is_refused_before_the_work(
    tmp_path: Path, tiny_weights: Path, monkeypatch
):
    write_picture(tmp_path / "clear.png", Picture(torch.rand(3, 8, 8), torch.rand(1, 8, 8)))

    def work(*_: object, **__: object):
        raise AssertionError("restored although the result cannot be written")

    monkeypatch.setattr("hfmoe.infer.restorer.Restorer.picture", work)
    assert restore(tmp_path / "clear.png", tiny_weights, "--format", "jpg") == 1


def test_a_float_tiff_comes_back_as_floats(tmp_path: Path, tiny_weights: Path, capsys):
    colour = torch.rand(3, 20, 24)
    colour[:, :6, :6] = 4.0
    write_picture(tmp_path / "hdr.tif", Picture(colour, bits=32))
    assert restore(tmp_path / "hdr.tif", tiny_weights) == 1
    assert "use TIFF" in capsys.readouterr().err
    assert restore(tmp_path / "hdr.tif", tiny_weights, "--format", "tif") == 0
    restored = read_picture(tmp_path / "hdr-x2.tif")
    assert restored.bits == 32
    assert restored.colour.max() > 3.5
