"""Target sizes: what is asked for, to the pixel, without halos, and the same part by part."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import hfmoe
from hfmoe.image.picture import Picture
from hfmoe.image.resize import resize
from hfmoe.image.streaming import Canvas
from hfmoe.image.target_size import Size, TargetSize, asked_size, reduce_picture, result_size

SIDES = st.integers(1, 5000)


@given(SIDES, SIDES, SIDES, SIDES)
def test_a_fit_touches_its_box_and_keeps_the_shape(height: int, width: int, box_height: int, box_width: int):
    size = TargetSize(fit=f"{box_width}x{box_height}").of(height, width)
    assert size.height <= box_height
    assert size.width <= box_width
    assert size.height == box_height or size.width == box_width
    assert abs(size.width - width * size.height / height) <= max(1, width / height)


@given(SIDES, SIDES, SIDES)
def test_the_other_side_follows_and_a_scale_rounds_to_the_nearest_pixel(height: int, width: int, side: int):
    size = TargetSize(width=side).of(height, width)
    assert size.width == side
    assert size.height == 1 or abs(size.height - height * side / width) <= 0.5
    assert TargetSize(height=side, width=7).of(height, width) == (side, 7)
    assert abs(TargetSize(scale=1.5).of(height, width).width - 1.5 * width) <= 0.5


@pytest.mark.parametrize(
    ("height", "asked", "scale"), [(100, 50, 2), (100, 200, 2), (100, 201, 3), (100, 400, 4), (3, 6, 2)]
)
def test_the_smallest_model_that_is_large_enough_is_chosen(height: int, asked: int, scale: int):
    assert TargetSize(height=asked).least_scale(height, height) == scale


def test_a_model_that_is_too_small_is_refused_with_both_sizes():
    with pytest.raises(ValueError, match="20 x 10 pixels to 100 x 50 is 5 times; the model enlarges 4 times"):
        result_size(TargetSize(width=100), 10, 20, scale=4)
    assert result_size(TargetSize(scale=1.5), 3, 3, scale=2) == (5, 5)
    assert result_size(None, 3, 4, scale=2) == (6, 8)


@pytest.mark.parametrize(
    ("asked", "rule"),
    [
        ({"scale": 0.5}, "scale 0.5 must be in"),
        ({"scale": 7}, "scale 7 must be in"),
        ({"scale": float("nan")}, "scale nan must be in"),
        ({"width": 0}, "width 0 must be in"),
        ({"height": -3}, "height -3 must be in"),
        ({"fit": "12"}, "fit '12' must be WIDTHxHEIGHT"),
        ({"fit": "0x12"}, "fit '0x12' must be WIDTHxHEIGHT"),
        ({"fit": "9x9", "width": 3}, "exclude each other"),
        ({"scale": 1.5, "width": 3}, "exclude each other"),
    ],
)
def test_wrong_sizes_name_the_value_and_the_rule(asked: dict, rule: str):
    with pytest.raises(ValueError, match=rule):
        asked_size(**{"scale": None, "width": None, "height": None, "fit": None} | asked)


def test_a_scale_of_a_model_is_no_size_but_goes_with_one():
    assert asked_size(2, None, None, None) is None
    assert asked_size(4, 100, None, None) == TargetSize(width=100)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape, dtype=np.float32)


def test_a_picture_is_reduced_by_the_exact_kernel():
    picture = Picture(noise(3, 40, 30) * 0.5 + 0.25, bits=16)
    reduced = reduce_picture(picture, Size(17, 23))
    assert np.allclose(reduced.colour, resize(picture.colour, size=(17, 23)), atol=1e-6)
    assert reduced.bits == 16
    assert reduce_picture(picture, Size(40, 30)) is picture


def test_hidden_colours_do_not_bleed_into_visible_ones_and_ranges_are_kept():
    colour = np.zeros((3, 40, 40), np.float32)
    colour[0, :, 20:] = 1
    alpha = np.ones((1, 40, 40), np.float32)
    alpha[..., :21] = 0
    reduced = reduce_picture(Picture(colour, alpha), Size(15, 15))
    assert reduced.alpha is not None
    seen = np.broadcast_to(reduced.alpha > 0.2, reduced.colour.shape)
    assert reduced.colour[0][seen[0]].min() > 0.9
    for part in (reduced.colour, reduced.alpha):
        assert 0 <= part.min() <= part.max() <= 1


@pytest.mark.parametrize("bits", [8, 16, 32])
@pytest.mark.parametrize("has_alpha", [False, True])
def test_parts_on_the_disk_are_reduced_as_the_whole_is(tmp_path: Path, bits: int, has_alpha: bool):
    colour, alpha = noise(3, 300, 21), np.linspace(0, 1, 300 * 21, dtype=np.float32).reshape(1, 300, 21)
    picture = Picture(colour, alpha if has_alpha else None, bits=bits)  # pyright: ignore[reportArgumentType]
    size = Size(171, 13)
    target = tmp_path / "a.tif"
    large = Canvas(tmp_path / "large", target, picture, height=300, width=21)
    small = large.like_of(tmp_path / "small", size)
    large.put(picture, 0, 0)
    large.reduce_into(small)
    expected, found = reduce_picture(picture, size), small.rows(0, size.height)
    step = 1e-5 if bits == 32 else 2.5 / (2**bits - 1)
    visible = 1 if expected.alpha is None else expected.alpha > 0.05
    assert (np.abs(expected.colour - found.colour) * visible).max() <= 3 * step
    assert (expected.alpha is None) == (found.alpha is None)
    if expected.alpha is not None:
        assert np.abs(expected.alpha - found.alpha).max() <= step
    large.drop()
    small.drop()


def test_a_photo_brought_back_to_its_size_is_closer_in_stored_values_than_in_light():
    """Why pictures are reduced in the values that files store: the networks were trained to undo that."""
    photo = noise(3, 6, 6)
    photo = resize(photo, size=(48, 48)).clip(0, 1)
    photo = (np.round(photo * 255) / 255).transpose(1, 2, 0)
    restored = hfmoe.restore(photo, "nano-x2")
    bands = restored.transpose(2, 0, 1)
    plain = resize(bands, size=(48, 48)).transpose(1, 2, 0)
    light = resize(bands.clip(0, 1) ** 2.2, size=(48, 48)).clip(0, 1).transpose(1, 2, 0) ** (1 / 2.2)
    assert np.abs(plain - photo).mean() < np.abs(light - photo).mean()


def test_exact_sizes_of_the_api_for_what_callers_hold():
    restorer = hfmoe.load("nano-x2", device="cpu")
    array = (noise(10, 14, 3) * 255).astype(np.uint8)
    assert hfmoe.restore(array, restorer, width=21).shape == (15, 21, 3)
    assert hfmoe.restore(array, scale=1.5).shape == (15, 21, 3)
    assert hfmoe.restore(Image.fromarray(array), restorer, fit="20x20").size == (20, 14)
    small = hfmoe.restore(array[..., 0], fit="40x40")
    assert small.shape == (29, 40)
    with pytest.raises(ValueError, match="scale 3: nano-x2 is a model of scale 2"):
        hfmoe.restore(array, restorer, scale=3)
    with pytest.raises(ValueError, match="is 4.3 times; the model enlarges 4 times"):
        hfmoe.restore(array, width=60)
