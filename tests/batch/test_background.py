"""Transparent pictures over a background, for formats without alpha."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import hfmoe
from hfmoe.batch.settings import Settings, parse_colour
from hfmoe.image.picture import Picture, flatten
from hfmoe.infer.restorer import Restorer


@pytest.fixture(scope="module")
def restorer() -> Restorer:
    return hfmoe.load("nano-x2", device="cpu")


@pytest.mark.parametrize(
    ("mode", "name", "shown"), [("RGBA", "#ff8000", (255, 128, 0)), ("LA", "white", (255,) * 3)]
)
def test_a_transparent_picture_becomes_a_jpeg_over_the_background(
    tmp_path: Path, restorer: Restorer, mode: str, name: str, shown: tuple
):
    Image.new(mode, (24, 24), 0).save(tmp_path / "a.png")
    refused = hfmoe.restore_files(tmp_path / "a.png", model=restorer, format="jpg")
    assert "--background" in refused.failed[0].reason
    done = hfmoe.restore_files(tmp_path / "a.png", model=restorer, format="jpg", background=name)
    assert not done.failed
    pixel = np.asarray(Image.open(tmp_path / "a-x2.jpg").convert("RGB"))[24, 24].astype(int)
    assert np.abs(pixel - np.array(shown)).max() <= 12


def test_gray_over_gray_stays_gray_and_over_a_colour_becomes_colour():
    picture = Picture(np.zeros((1, 4, 4), np.float32), np.full((1, 4, 4), 0.5, np.float32))
    assert flatten(picture, background=parse_colour("gray")).colour.shape == (1, 4, 4)
    orange = flatten(picture, background=parse_colour("#ff8000")).colour
    assert np.allclose(orange[:, 0, 0], [0.5, 0.251, 0], atol=1e-3)


def test_a_colour_that_is_none_is_refused_and_manifests_of_before_stay_true():
    with pytest.raises(ValueError, match=r"background 'mauve' must be white, gray, black or #rrggbb"):
        Settings(background="mauve")
    assert "background" not in Settings().of_results()
    assert Settings(background="white").of_results()["background"] == "white"


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("colour", ["#ff8000", "gray"])
def test_streams_lay_pictures_over_a_background_as_ever(
    tmp_path: Path, restorer: Restorer, mode: str, colour: str
):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 36, len(mode)), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    results = []
    for stream in ("off", "on"):
        target = tmp_path / f"{stream}.png"
        done = hfmoe.restore_files(
            tmp_path / "a.png", target, model=restorer, background=colour, stream=stream
        )
        assert not done.failed
        with Image.open(target) as result:
            results.append(np.asarray(result).astype(int))
    whole, parts = results
    assert whole.shape == parts.shape
    assert np.abs(whole - parts).max() <= 6
    assert np.abs(whole - parts).mean() < 1
