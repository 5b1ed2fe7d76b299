"""Luma, YCbCr, crops and rounding."""

import pytest
import torch

from hfmoe.image.colour import luma, rgb_from_ycbcr, ycbcr_from_rgb
from hfmoe.image.picture import quantise, round_to_8bit
from hfmoe.image.resize import crop_border, crop_to_multiple


@pytest.mark.parametrize(
    ("rgb", "y"),
    [((0, 0, 0), 16), ((1, 1, 1), 235), ((1, 0, 0), 81.481), ((0, 1, 0), 144.553), ((0, 0, 1), 40.966)],
)
def test_luma_of_the_primaries_is_that_of_bt601(rgb, y):
    image = torch.tensor(rgb, dtype=torch.float64).view(1, 3, 1, 1)
    assert luma(image).item() * 255 == pytest.approx(y, abs=1e-9)


def test_a_gray_image_is_its_own_luma():
    image = torch.rand(2, 1, 4, 5)
    assert torch.equal(luma(image), image)


def test_luma_refuses_other_channel_counts():
    with pytest.raises(ValueError, match="4 channels"):
        luma(torch.rand(1, 4, 2, 2))


def test_ycbcr_and_back_is_the_identity_and_its_first_plane_is_luma():
    image = torch.rand(2, 3, 6, 7, dtype=torch.float64)
    planes = ycbcr_from_rgb(image)
    torch.testing.assert_close(rgb_from_ycbcr(planes), image)
    torch.testing.assert_close(planes[:, :1], luma(image))


def test_cropping_to_a_multiple_keeps_the_top_left():
    image = torch.arange(70.0).view(1, 1, 7, 10)
    assert torch.equal(crop_to_multiple(image, multiple=3), image[..., :6, :9])
    assert torch.equal(crop_to_multiple(image, multiple=1), image)


@pytest.mark.parametrize("multiple", [0, 8])
def test_crops_that_leave_nothing_are_refused(multiple):
    with pytest.raises(ValueError, match=r"multiple 0|7 x 10"):
        crop_to_multiple(torch.zeros(1, 1, 7, 10), multiple=multiple)


@pytest.mark.parametrize("border", [-1, 4])
def test_borders_that_leave_nothing_are_refused(border):
    with pytest.raises(ValueError, match=r"must be in \[0, 4\)"):
        crop_border(torch.zeros(1, 1, 7, 10), border=border)


def test_rounding_to_8_bits_clamps_and_rounds_halves_up():
    image = torch.tensor([-1.0, 0.0, 0.5 / 255, 100.4 / 255, 1.0, 7.0], dtype=torch.float64)
    assert quantise(image).tolist() == [0, 0, 1, 100, 255, 255]
    assert torch.equal(round_to_8bit(round_to_8bit(image)), round_to_8bit(image))


def test_nan_has_no_level():
    with pytest.raises(ValueError, match="NaN"):
        quantise(torch.tensor([float("nan")]))
