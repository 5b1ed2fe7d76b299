"""The penalty on grids."""

import pytest
import torch

from hfmoe.losses import grid_l1


def image(seed: int = 0) -> torch.Tensor:
    return torch.rand(2, 3, 66, 65, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("period", [2, 3, 4])
def test_a_pattern_costs_its_amplitude_and_brightness_nothing(period: int):
    target = image()
    column = (torch.arange(65) % period == 0) * 0.01
    due = 0.01 * 2 * (period - 1) / period**2
    assert grid_l1(target + column, target, period=period).item() == pytest.approx(due, rel=1e-4)
    assert grid_l1(target + 0.1, target, period=period).item() < 1e-7


def test_an_error_without_a_period_costs_far_less_than_its_size():
    target = image()
    error = 0.1 * torch.randn(target.shape, generator=torch.Generator().manual_seed(1))
    assert grid_l1(target + error, target, period=4) < 0.15 * error.abs().mean()


def test_its_gradient_removes_the_pattern():
    target = image()
    pattern = torch.full((4, 4), 0.02).triu().repeat(16, 16)[None, None]
    restored = (target[..., :64, :64] + pattern).requires_grad_()
    before = grid_l1(restored, target[..., :64, :64], period=4)
    (gradient,) = torch.autograd.grad(before, restored)
    after = grid_l1(restored - 10 * gradient, target[..., :64, :64], period=4)
    assert after < before


def test_images_smaller_than_a_square_count_as_one():
    target = torch.zeros(1, 3, 8, 8)
    assert grid_l1(target + torch.tensor([0.01, 0, 0, 0]).repeat(2), target, period=4) > 0
