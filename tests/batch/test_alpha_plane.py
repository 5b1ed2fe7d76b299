"""Alpha that is a plane of its own: colours as without it, whole, part by part and reduced."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
from PIL import Image

import hfmoe
from hfmoe.batch.settings import Settings
from hfmoe.image.files import read_picture
from hfmoe.infer.restorer import Restorer

PHOTO = skimage.data.astronaut()[:150, 100:240]


@pytest.fixture(scope="module")
def restorer(tiny_weights: Path) -> Restorer:
    return hfmoe.load(tiny_weights, device="cpu")


def texture() -> np.ndarray:
    mask = np.zeros((*PHOTO.shape[:2], 1), np.uint8)
    mask[40:90, 30:100] = np.arange(70, dtype=np.uint8)[:, None] * 3
    return np.concatenate((PHOTO, mask), 2)


@pytest.mark.parametrize("size", [{}, {"width": 210}])
def test_colours_are_as_without_alpha_and_alpha_is_as_a_gray_image(restorer: Restorer, size: dict[str, Any]):
    result = hfmoe.restore(texture(), restorer, separate=True, **size)
    assert np.array_equal(result[..., :3], hfmoe.restore(PHOTO, restorer, **size))
    if not size:
        gray = hfmoe.restore(texture()[..., 3], restorer)
        inside = (slice(90, 170), slice(70, 190))
        assert np.array_equal(result[..., 3][inside], gray[inside])
    assert not np.array_equal(result, hfmoe.restore(texture(), restorer, **size))


@pytest.mark.parametrize("stream", ["off", "on"])
def test_files_keep_the_colours_under_a_mask_of_zeros(tmp_path: Path, restorer: Restorer, stream: str):
    Image.fromarray(texture()).save(tmp_path / "a.png")
    Image.fromarray(PHOTO).save(tmp_path / "b.png")
    options: dict[str, Any] = {"model": restorer, "stream": stream, "tile": 112}
    assert not hfmoe.restore_files(tmp_path / "a.png", alpha="separate", **options).failed
    assert not hfmoe.restore_files(tmp_path / "b.png", **options).failed
    with_mask, without = (read_picture(tmp_path / f"{name}-x2.png") for name in "ab")
    assert (with_mask.colour - without.colour).abs().max() <= 1.01 / 255
    assert with_mask.alpha is not None
    assert with_mask.alpha.min() == 0


def test_a_background_and_unknown_words_are_refused():
    with pytest.raises(ValueError, match="alpha separate is no transparency"):
        Settings(alpha="separate", background="white")
    with pytest.raises(ValueError, match="alpha 'apart' must be one of transparency, separate"):
        Settings(alpha="apart")
    assert "alpha" not in Settings().of_results()
