"""Losses on bands: what each sees of an error, and hand-computed values."""

import pytest
import torch
import torch.nn.functional as F

from hfmoe.losses import high_band_l1, l1, laplacian_l1
from hfmoe.losses.laplacian import pyramid, split
from hfmoe.nn.frequency import FrequencySplit


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_bands_are_those_of_the_networks_split_before_it_learns():
    image = noise(2, 3, 8, 12)
    expected = FrequencySplit(3, learned=False).double()(image)
    found = split(image)
    torch.testing.assert_close(found.low, expected.low, rtol=0, atol=1e-6)
    torch.testing.assert_close(found.high, expected.high, rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [(16, 16), (17, 23), (9, 32)])
def test_a_constant_shift_is_seen_by_the_coarsest_band_alone(size: tuple[int, int]):
    *fine, coarsest = pyramid(torch.full((1, 1, *size), 0.3, dtype=torch.float64), levels=4)
    assert max(band.abs().max() for band in fine) < 1e-12
    torch.testing.assert_close(coarsest, torch.full_like(coarsest, 0.3))


@pytest.mark.parametrize("size", [(16, 16), (17, 23)])
def test_the_bands_of_a_pyramid_give_the_image_back(size: tuple[int, int]):
    image = noise(1, 2, *size)
    *fine, x = pyramid(image, levels=4)
    for band in reversed(fine):
        enlarged = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        x = band + enlarged[..., : band.shape[2], : band.shape[3]]
    torch.testing.assert_close(x, image)


def test_laplacian_l1_of_a_shift_is_the_shift():
    target = noise(1, 3, 32, 32)
    assert laplacian_l1(target + 0.25, target).item() == pytest.approx(0.25)


def test_laplacian_l1_of_a_single_pixel_is_as_computed_by_hand():
    # Two levels of a 2x2 image with reflected borders: the low band is the mean weighted [1 3 3 1] over
    # rows a b with reflection b a b a: (b + 3a + 3b + a) / 8 = (a + b) / 2 a side, so 1/4; high is d - 1/4.
    target = torch.zeros(1, 1, 2, 2)
    restored = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    expected = (0.75 + 3 * 0.25) / 4 + 0.25
    assert laplacian_l1(restored, target, levels=2).item() == pytest.approx(expected)


@pytest.mark.parametrize(("size", "levels"), [((4, 64), 4), ((1, 1), 2), ((8, 8), 1)])
def test_too_many_or_too_few_levels_are_named_with_the_size(size: tuple[int, int], levels: int):
    image = torch.zeros(1, 1, *size)
    with pytest.raises(ValueError, match=f"levels {levels} .* {size[0]}x{size[1]}"):
        laplacian_l1(image, image, levels=levels)


def test_a_high_weight_of_one_is_plain_l1():
    restored, target = noise(2, 3, 9, 16), noise(2, 3, 9, 16, seed=1)
    assert torch.equal(high_band_l1(restored, target, high_weight=1.0), l1(restored, target))


def test_a_shift_costs_the_same_whatever_the_high_weight():
    target = noise(1, 3, 16, 16)
    for weight in (0.0, 0.5, 4.0):
        assert high_band_l1(target + 0.1, target, high_weight=weight).item() == pytest.approx(0.1)


def test_a_checkerboard_is_all_high_band_and_costs_in_proportion_to_the_weight():
    board = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(8, 8)[None, None]
    nothing = torch.zeros_like(board)
    for weight in (0.0, 0.5, 3.0):
        inner = high_band_l1(board, nothing, high_weight=weight).item()
        assert inner == pytest.approx(weight)


def test_an_error_is_weighted_as_low_plus_weight_times_high():
    error = noise(1, 2, 12, 12)
    low, high = split(error)
    smooth = F.interpolate(low, scale_factor=2, mode="bilinear", align_corners=False)
    expected = (smooth + 2.5 * high).abs().mean()
    found = high_band_l1(error, torch.zeros_like(error), high_weight=2.5)
    torch.testing.assert_close(found, expected)


def test_gradients_equal_finite_differences():
    restored, target = noise(1, 1, 8, 7).requires_grad_(), noise(1, 1, 8, 7, seed=1)
    assert torch.autograd.gradcheck(lambda x: laplacian_l1(x, target, levels=3), restored)
    assert torch.autograd.gradcheck(lambda x: high_band_l1(x, target, high_weight=3.0), restored)
