"""JPEG beside libjpeg, and WebP."""

import math

import numpy as np
import pytest
import skimage.data
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hfmoe.data.degradations.jpeg import CHROMA, LUMA, Jpeg, WebP, quantisation
from hfmoe.image.encoded import jpeg_file, through_jpeg

ZIGZAG = sorted(
    ((row, column) for row in range(8) for column in range(8)),
    key=lambda place: (sum(place), place[0] if sum(place) % 2 else place[1]),
)


def levels(image: torch.Tensor) -> np.ndarray:
    return (image * 255).round().permute(1, 2, 0).numpy()


def unit(photo: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(photo.copy()).permute(2, 0, 1).float() / 255


def by_libjpeg(photo: np.ndarray, *, quality: int, subsampling: bool) -> np.ndarray:
    image = torch.from_numpy(photo.copy()).permute(2, 0, 1)
    return through_jpeg(image, quality=quality, subsampling=subsampling).permute(1, 2, 0).numpy()


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """PSNR between two pictures of 0 to 255."""
    return 10 * math.log10(255**2 / max(1e-9, np.square(one.astype(float) - other.astype(float)).mean()))


def tables(file: bytes) -> list[np.ndarray]:
    """The quantisation tables of a JPEG file."""
    found = []
    place = 2
    while file[place + 1] != 0xDA:
        length = int.from_bytes(file[place + 2 : place + 4], "big")
        segment = file[place + 4 : place + 2 + length]
        if file[place + 1] == 0xDB:
            for start in range(0, len(segment), 65):
                table = np.zeros((8, 8))
                for place_in, value in zip(ZIGZAG, segment[start + 1 : start + 65], strict=True):
                    table[place_in] = value
                found.append(table)
        place += 2 + length
    return found


@pytest.mark.parametrize("quality", [1, 5, 10, 25, 49, 50, 51, 75, 90, 99, 100])
def test_quantisation_tables_are_those_that_libjpeg_writes(quality: int):
    luma, chroma = tables(
        jpeg_file(torch.zeros(3, 16, 16, dtype=torch.uint8), quality=quality, subsampling=True)
    )
    assert np.array_equal(luma, quantisation(LUMA, quality=quality))
    assert np.array_equal(chroma, quantisation(CHROMA, quality=quality))


@pytest.mark.parametrize("subsampling", [True, False])
@pytest.mark.parametrize("quality", [5, 10, 30, 50, 75, 95])
@pytest.mark.parametrize("name", ["chelsea", "coffee"])
def test_the_result_is_that_of_libjpeg_but_for_a_few_halves(name: str, quality: int, subsampling: bool):
    photo = getattr(skimage.data, name)()[:161, :163]
    ours = levels(Jpeg(quality, subsampling)(unit(photo)))
    theirs = by_libjpeg(photo, quality=quality, subsampling=subsampling)
    assert distance(ours, theirs) > 45
    assert distance(theirs, photo) < 45
    assert abs(distance(ours, photo) - distance(theirs, photo)) < 0.1


@pytest.mark.parametrize("quality", [10, 40, 90])
def test_a_gray_image_is_coded_as_luma_alone(quality: int):
    photo = skimage.data.chelsea()[:120, :121, 1:2]
    theirs = by_libjpeg(photo, quality=quality, subsampling=False)
    assert distance(levels(Jpeg(quality)(unit(photo))), theirs) > 48


@given(
    quality=st.integers(1, 100),
    height=st.integers(1, 19),
    width=st.integers(1, 19),
    subsampling=st.booleans(),
)
@settings(deadline=None, max_examples=40)
def test_any_size_and_quality_keeps_shape_and_range(quality: int, height: int, width: int, subsampling: bool):
    image = torch.rand(3, height, width)
    coded = Jpeg(quality, subsampling)(image)
    assert coded.shape == image.shape
    assert coded.min() >= 0 and coded.max() <= 1
    assert torch.equal((coded * 255).round() / 255, coded)


def test_a_lower_quality_is_farther_from_the_photo():
    photo = skimage.data.coffee()[:128, :128]
    scores = [distance(levels(Jpeg(quality)(unit(photo))), photo) for quality in (5, 10, 20, 40, 60, 80, 95)]
    assert scores == sorted(scores)


def test_blocks_begin_at_the_corner():
    coded = Jpeg(5)(torch.rand(1, 24, 24, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(Jpeg(5)(coded), coded)


@pytest.mark.parametrize("channels", [1, 3])
def test_webp_loses_more_at_lower_quality_and_keeps_the_shape(channels: int):
    photo = skimage.data.coffee()[:100, :101, :channels]
    scores = []
    for quality in (5, 40, 95):
        coded = WebP(quality)(unit(photo))
        assert coded.shape == (channels, 100, 101)
        scores.append(distance(levels(coded), photo))
    assert scores == sorted(scores)
    assert scores[-1] > 33


@pytest.mark.parametrize("operation", [Jpeg, WebP])
def test_a_quality_beyond_its_range_is_refused(operation: type[Jpeg]):
    for quality in (0, 101):
        with pytest.raises(ValueError, match=f"quality {quality} must be in"):
            operation(quality)
