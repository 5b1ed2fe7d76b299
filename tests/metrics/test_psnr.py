"""PSNR against numbers worked out by hand."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hfmoe.metrics.psnr import psnr


@pytest.mark.parametrize(
    ("error", "decibels"), [(1.0, 0.0), (0.1, 20.0), (0.01, 40.0), (1 / 255, 48.1308036)]
)
def test_a_constant_error_gives_the_hand_computed_value(error, decibels):
    target = torch.zeros(1, 3, 5, 6, dtype=torch.float64)
    assert psnr(target + error, target).item() == pytest.approx(decibels, abs=1e-6)


def test_one_wrong_pixel_of_a_hundred_gives_twenty_decibels():
    target = torch.zeros(1, 1, 10, 10)
    image = target.clone()
    image[..., 5, 5] = 1
    assert psnr(image, target).item() == pytest.approx(20)


def test_equal_images_have_infinite_psnr():
    image = torch.rand(2, 3, 4, 4)
    assert psnr(image, image).tolist() == [math.inf, math.inf]


def test_errors_in_the_border_do_not_count():
    target = torch.zeros(1, 3, 8, 8)
    image = torch.ones(1, 3, 8, 8)
    image[..., 2:-2, 2:-2] = 0.1
    assert psnr(image, target, border=2).item() == pytest.approx(20, abs=1e-5)


@given(border=st.integers(0, 2), seed=st.integers(0, 99))
def test_each_image_of_a_batch_scores_as_alone(border, seed):
    generator = torch.Generator().manual_seed(seed)
    image, target = torch.rand(2, 3, 1, 6, 7, generator=generator)
    together = psnr(image, target, border=border)
    alone = [psnr(a[None], b[None], border=border) for a, b in zip(image, target, strict=True)]
    torch.testing.assert_close(together, torch.cat(alone))
