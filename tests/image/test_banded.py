"""Filters as banded matrices equal torch's own, for arrays and tensors, at every size."""

import tracemalloc

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from hfmoe.image.alpha import _doubled, fill_hidden, halved, is_flat
from hfmoe.image.filters import binomial, low_pass
from hfmoe.image.resize import resize

SIZES = ((1, 1), (1, 6), (7, 1), (2, 3), (33, 300))


def image(size: tuple[int, int], channels: int = 3) -> torch.Tensor:
    return torch.rand(2, channels, *size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", SIZES)
def test_halving_and_doubling_are_pooling_and_bilinear_interpolation(size: tuple[int, int]):
    whole = image(size)
    half = halved(whole)
    torch.testing.assert_close(half, F.avg_pool2d(whole, 2, ceil_mode=True))
    expected = F.interpolate(half, size=size, mode="bilinear", align_corners=False)
    torch.testing.assert_close(_doubled(half, whole), expected)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_the_low_pass_is_a_convolution_with_repeated_borders(size: tuple[int, int], scale: int):
    whole = image(size, channels=1)
    weights = torch.from_numpy(binomial(4 * scale**2)).float()
    reach = len(weights) // 2
    padded = F.pad(whole, (reach,) * 4, mode="replicate")
    expected = F.conv2d(F.conv2d(padded, weights.view(1, 1, 1, -1)), weights.view(1, 1, -1, 1))
    torch.testing.assert_close(low_pass(whole, scale=scale), expected)


@pytest.mark.parametrize("size", SIZES)
def test_flatness_is_that_of_the_square_around(size: tuple[int, int]):
    steps = (image(size, channels=1) * 1.3).floor()
    around = F.max_pool2d(steps, 5, 1, 2) == -F.max_pool2d(-steps, 5, 1, 2)
    assert torch.equal(is_flat(steps), around.float())


@pytest.mark.parametrize("size", SIZES)
def test_arrays_give_what_tensors_give(size: tuple[int, int]):
    colour, alpha = image(size), (image(size, channels=1) - 0.6).clamp(0)
    functions = {
        "fill": lambda c, a: fill_hidden(c, a),
        "flat": lambda _, a: is_flat(a),
        "low": lambda c, _: low_pass(c, scale=3),
        "bicubic": lambda c, _: resize(c, scale=1.7),
        "rounded": lambda c, _: resize(c, size=(3, 2), round_to_uint8=True),
    }
    for name, function in functions.items():
        found = function(colour.numpy(), alpha.numpy())
        assert isinstance(found, np.ndarray), name
        assert found.dtype == np.float32, name
        expected = function(colour, alpha).numpy()
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6, err_msg=name)


def test_filters_of_many_sizes_take_little_memory():
    tracemalloc.start()
    for side in range(4000, 4016):
        low_pass(np.zeros((1, 1, 1, side), dtype=np.float32), scale=4)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 32 * 2**20
