"""Results say in their metadata what made them, and folders' runs leave them out by it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import hfmoe
from hfmoe.image.files import read_facts


def photo(path: Path, **options: Any) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.mark.parametrize("form", ["png", "jpg", "webp", "avif", "tif"])
@pytest.mark.parametrize("stream", ["off", "on"])
def test_every_format_says_what_made_it_and_keeps_what_the_camera_said(
    tmp_path: Path, tiny_weights: Path, form: str, stream: str
):
    exif = Image.Exif()
    exif[0x10F], exif[0x131] = "Maker", "Firmware 1"
    source = photo(tmp_path / "a.jpg", exif=exif.tobytes())
    assert read_facts(source).software == "Firmware 1"
    options: dict[str, Any] = {"model": tiny_weights, "format": form, "stream": stream}
    assert not hfmoe.restore_files(source, **options).failed
    result = tmp_path / f"a-x2.{form}"
    assert read_facts(result).software == f"hfmoe {hfmoe.__version__} tiny-test-x2"
    assert b"Maker" in result.read_bytes()
    assert not hfmoe.restore_files(source, strip=True, **options).failed
    assert read_facts(result).software is None


def test_a_run_leaves_out_what_says_that_it_is_a_result_whatever_it_is_called(
    tmp_path: Path, tiny_weights: Path
):
    photo(tmp_path / "a.png")
    photo(tmp_path / "a_edited.png")
    options: dict[str, Any] = {"model": tiny_weights}
    for name in ("2x_{stem}{suffix}", "{stem}.big{suffix}"):
        assert not hfmoe.restore_files(tmp_path / "a.png", name=name, **options).failed
    photo(tmp_path / "alone.png")
    assert not hfmoe.restore_files(tmp_path / "alone.png", tmp_path / "other.png", **options).failed
    summary = hfmoe.restore_files(tmp_path, tmp_path / "out", **options)
    assert {Path(str(place)).name for place in summary.left_out} == {"2x_a.png", "a.big.png"}
    names = {Path(done.job.source).name for done in summary.done}
    assert names == {"a.png", "a_edited.png", "alone.png", "other.png"}
