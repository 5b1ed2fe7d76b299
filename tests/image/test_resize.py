"""Resizing: MATLAB's imresize, checked against its algorithm written out in loops."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hfmoe.image.resize import resize


def _cubic(x):
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0


def _imresize_axis(values, length, scale):
    """One axis of MATLAB's imresize, as its `contributions` function goes, one sample after the other."""
    old = values.shape[0]
    shrink = min(scale, 1.0)
    width = 4 / shrink
    mirror = [*range(old), *range(old - 1, -1, -1)]
    result = np.zeros((length, *values.shape[1:]))
    for x in range(1, length + 1):
        u = x / scale + 0.5 * (1 - 1 / scale)
        left = math.floor(u - width / 2)
        indices = [left + k for k in range(math.ceil(width) + 2)]
        weights = [shrink * _cubic(shrink * (u - i)) for i in indices]
        for index, weight in zip(indices, weights, strict=True):
            result[x - 1] += weight / sum(weights) * values[mirror[(index - 1) % (2 * old)]]
    return result


def _imresize(values, scales, *, uint8=False):
    lengths = [math.ceil(scale * n) for scale, n in zip(scales, values.shape, strict=True)]
    for axis in np.argsort([float(scale) for scale in scales], kind="stable"):
        moved = _imresize_axis(np.moveaxis(values, axis, 0), lengths[axis], float(scales[axis]))
        values = np.moveaxis(moved, 0, axis)
        if uint8:
            values = np.clip(np.floor(values + 0.5), 0, 255)
    return values


def _image(height, width, *, seed=0, channels=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (1, channels, height, width), generator=generator).double() / 255


SCALES = [Fraction(1, 4), Fraction(1, 3), Fraction(1, 2), Fraction(2, 3), Fraction(3, 2), 2, 3, 4]


@pytest.mark.parametrize("scale", SCALES, ids=str)
@pytest.mark.parametrize("uint8", [False, True], ids=["float", "uint8"])
def test_resizing_equals_matlabs_algorithm_in_loops(scale, uint8):
    image = _image(19, 14)
    expected = _imresize(image[0, 0].numpy() * 255, (scale, scale), uint8=uint8)
    result = resize(image, scale=scale, round_to_uint8=uint8)[0, 0].numpy() * 255
    np.testing.assert_allclose(result, expected, atol=1e-9)


def test_the_axis_that_shrinks_more_is_resized_first():
    image = _image(24, 24)
    scales = (Fraction(1, 2), Fraction(1, 3))
    expected = _imresize(image[0, 0].numpy() * 255, scales, uint8=True)
    result = resize(image, scale=scales, round_to_uint8=True)[0, 0].numpy() * 255
    np.testing.assert_allclose(result, expected, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    new=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    level=st.floats(0, 1),
)
def test_a_constant_image_stays_constant(height, width, new, level):
    image = torch.full((1, 2, height, width), level, dtype=torch.float64)
    result = resize(image, size=new)
    assert result.shape == (1, 2, *new)
    torch.testing.assert_close(result, torch.full_like(result, level))


def test_scale_one_changes_nothing():
    image = _image(9, 13, channels=3)
    assert torch.equal(resize(image, scale=1), image)
    torch.testing.assert_close(resize(image, scale=1, round_to_uint8=True), image)


def test_a_transposed_image_resizes_to_the_transposed_result():
    image = _image(17, 23)
    torch.testing.assert_close(resize(image.mT, scale=Fraction(1, 2)), resize(image, scale=Fraction(1, 2)).mT)


def test_long_images_resize_as_their_parts_do_away_from_the_cuts():
    image = _image(6, 700)
    whole = resize(image, scale=2)
    part = resize(image[..., 200:500], scale=2)
    torch.testing.assert_close(whole[..., 420:980], part[..., 20:580])


def test_size_and_scale_of_the_same_ratio_agree():
    image = _image(12, 18)
    torch.testing.assert_close(resize(image, size=(4, 6)), resize(image, scale=Fraction(1, 3)))


def test_a_fraction_scales_to_the_rounded_up_size_exactly():
    assert resize(_image(30, 31), scale=Fraction(1, 3)).shape == (1, 1, 10, 11)


def test_the_images_of_a_batch_and_unbatched_images_resize_alike():
    image = torch.cat([_image(10, 11, seed=seed, channels=3) for seed in range(3)]).float()
    together = resize(image, scale=2)
    assert together.dtype == torch.float32
    for one, result in zip(image, together, strict=True):
        torch.testing.assert_close(resize(one, scale=2), result)


def test_float32_rounds_to_the_same_levels_as_float64():
    image = _image(33, 37, channels=3)
    for scale in (Fraction(1, 2), Fraction(1, 4), 2):
        exact = resize(image, scale=scale, round_to_uint8=True)
        single = resize(image.float(), scale=scale, round_to_uint8=True)
        assert torch.equal((exact * 255).round(), (single * 255).round())


def test_gradients_flow_through_a_resize():
    image = _image(8, 8).requires_grad_()
    resize(image, scale=2).sum().backward()
    assert image.grad is not None
    torch.testing.assert_close(image.grad.sum(), torch.tensor(256.0, dtype=torch.float64))


@pytest.mark.parametrize(
    "arguments",
    [{}, {"scale": 2, "size": (4, 4)}, {"scale": 0}, {"scale": -1.5}, {"scale": math.inf}, {"size": (0, 3)}],
)
def test_arguments_that_make_no_size_are_refused(arguments):
    with pytest.raises(ValueError, match=r"scale|size"):
        resize(_image(5, 5), **arguments)
