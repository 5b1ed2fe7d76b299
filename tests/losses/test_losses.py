"""Losses against hand-computed values."""

import math

import pytest
import torch

from hfmoe.losses import charbonnier, fft_l1, l1, mse

LOSSES = {"l1": l1, "mse": mse, "charbonnier": charbonnier, "fft_l1": fft_l1}


def image(*rows: list[float]) -> torch.Tensor:
    return torch.tensor([[list(rows)]])


RESTORED = image([0.5, 0.0], [0.25, 1.0])
TARGET = image([0.5, 1.0], [0.75, 1.0])


def test_l1_is_the_mean_absolute_error():
    assert l1(RESTORED, TARGET).item() == pytest.approx((0 + 1 + 0.5 + 0) / 4)


def test_mse_is_the_mean_squared_error():
    assert mse(RESTORED, TARGET).item() == pytest.approx((0 + 1 + 0.25 + 0) / 4)


def test_charbonnier_is_the_smoothed_absolute_error():
    expected = (0.1 + math.sqrt(1.01) + math.sqrt(0.26) + 0.1) / 4
    assert charbonnier(RESTORED, TARGET, epsilon=0.1).item() == pytest.approx(expected)


def test_charbonnier_of_equal_images_is_epsilon():
    assert charbonnier(TARGET, TARGET).item() == pytest.approx(1e-3)


def test_fft_l1_is_the_mean_over_real_and_imaginary_parts_by_hand():
    # d = [[0, -1], [-.5, 0]]; its 2 x 2 spectrum / 2 is [[-.75, .25], [-.25, .75]], all real.
    assert fft_l1(RESTORED, TARGET).item() == pytest.approx((0.75 + 0.25 + 0.25 + 0.75) / 8)


@pytest.mark.parametrize("size", [32, 64, 256])
def test_the_ratio_of_fft_l1_to_l1_of_white_errors_does_not_depend_on_the_size(size: int):
    error = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    nothing = torch.zeros_like(error)
    assert fft_l1(error, nothing) / l1(error, nothing) == pytest.approx(math.sqrt(0.5), rel=0.03)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_equal_finite_differences(name: str):
    generator = torch.Generator().manual_seed(2)
    restored = torch.rand(1, 1, 3, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    target = torch.rand(1, 1, 3, 4, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: LOSSES[name](x, target), restored)


@pytest.mark.parametrize("name", ["l1", "mse", "fft_l1"])
def test_equal_images_cost_nothing(name: str):
    assert LOSSES[name](TARGET, TARGET).item() == 0
