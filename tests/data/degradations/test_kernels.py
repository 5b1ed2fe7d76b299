"""Blur kernels and blurring."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hfmoe.data.degradations import kernels
from hfmoe.data.degradations.blur import (
    DefocusBlur,
    GaussianBlur,
    MotionBlur,
    PlateauBlur,
    SincBlur,
)

sizes = st.integers(0, 12).map(lambda half: 2 * half + 1)
sigmas = st.floats(0.0, 5.0)
angles = st.floats(-math.pi, math.pi)


@given(size=sizes, long=sigmas, short=sigmas, angle=angles, shape=st.floats(0.5, 4.0))
@settings(deadline=None, max_examples=60)
def test_kernels_sum_to_one_and_are_point_symmetric(
    size: int, long: float, short: float, angle: float, shape: float
):
    for kernel in (
        kernels.gaussian(size, sigma=(long, short), angle=angle, shape=shape),
        kernels.plateau(size, sigma=(long, short), angle=angle, shape=shape),
        kernels.sinc(size, cutoff=0.3 + abs(angle) * 0.9),
        kernels.motion(size, length=long, angle=angle),
        kernels.defocus(size, radius=short),
    ):
        assert kernel.shape == (size, size)
        assert kernel.sum() == pytest.approx(1)
        assert np.allclose(kernel, kernel[::-1, ::-1], atol=1e-9)


@given(length=st.floats(0, 12), angle=angles, bend=st.floats(-0.5, 0.5))
@settings(deadline=None, max_examples=40)
def test_a_bent_motion_keeps_its_weight_and_its_middle(length: float, angle: float, bend: float):
    kernel = kernels.motion(31, length=length, angle=angle, bend=bend)
    places = np.arange(31) - 15
    assert kernel.sum() == pytest.approx(1)
    assert (kernel.sum(axis=1) @ places, kernel.sum(axis=0) @ places) == pytest.approx((0, 0), abs=1e-6)


def test_a_gaussian_has_the_deviations_and_the_direction_it_was_given():
    kernel = kernels.gaussian(41, sigma=(4.0, 1.5), angle=math.radians(30))
    y, x = np.mgrid[-20:21, -20:21]
    spread = np.linalg.eigvalsh(
        [[(kernel * x * x).sum(), (kernel * x * y).sum()], [(kernel * x * y).sum(), (kernel * y * y).sum()]]
    )
    direction = 0.5 * math.atan2(2 * (kernel * x * y).sum(), (kernel * (x * x - y * y)).sum())
    assert np.sqrt(spread) == pytest.approx([1.5, 4.0], rel=0.01)
    assert math.degrees(direction) == pytest.approx(30, abs=0.5)


def test_a_sinc_kernel_passes_below_its_cutoff_and_stops_above_it():
    response = np.abs(np.fft.fft2(kernels.sinc(61, cutoff=math.pi / 3), s=(240, 240)))[0]
    frequency = 2 * math.pi * np.arange(120) / 240
    assert response[:120][frequency < 0.8 * math.pi / 3] == pytest.approx(1, abs=0.1)
    assert response[:120][frequency > 1.2 * math.pi / 3] == pytest.approx(0, abs=0.1)
    assert (kernels.sinc(21, cutoff=1.0) < 0).any()


def test_a_disk_is_flat_inside_and_empty_outside():
    kernel = kernels.defocus(9, radius=3.0)
    assert kernel[4, 2:7] == pytest.approx(kernel[4, 4])
    assert kernel[4, 0] == kernel[0, 0] == 0
    assert 1 / kernel[4, 4] == pytest.approx(math.pi * 9, rel=0.02)


def test_a_straight_motion_is_as_long_as_it_says():
    row = kernels.motion(15, length=9.0, angle=0.0)[7]
    assert (row > 0.5 * row.max()).sum() == pytest.approx(9, abs=1)
    assert row.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    "blur",
    [
        GaussianBlur(15, (2.0, 0.5), 0.4),
        PlateauBlur(9, (1.0, 1.0), 0.0, 1.5),
        SincBlur(21, 1.1),
        MotionBlur(11, 9.0, 1.0, 0.2),
        DefocusBlur(7, 2.5),
    ],
    ids=lambda blur: blur.kind,
)
@pytest.mark.parametrize("shape", [(3, 40, 33), (1, 5, 3), (3, 1, 1)])
def test_blurring_leaves_a_plain_image_and_its_shape_alone(blur: GaussianBlur, shape: tuple[int, ...]):
    assert torch.allclose(blur(torch.full(shape, 0.3)), torch.full(shape, 0.3), atol=1e-5)


def test_blurring_equals_a_convolution_of_the_mirrored_image():
    image = torch.rand(2, 20, 17, generator=torch.Generator().manual_seed(0))
    kernel = np.random.default_rng(0).uniform(size=(7, 7))
    kernel /= kernel.sum()
    wide = np.pad(image.numpy(), ((0, 0), (3, 3), (3, 3)), mode="symmetric")
    expected = torch.nn.functional.conv2d(
        torch.from_numpy(wide)[:, None], torch.from_numpy(kernel[::-1, ::-1].copy()).float()[None, None]
    )[:, 0]
    assert torch.allclose(kernels.convolved(image, kernel), expected, atol=1e-5)


@pytest.mark.parametrize("blur", [GaussianBlur(9, (0.0, 0.0)), MotionBlur(9, 0.0, 0.3), DefocusBlur(9, 0.0)])
def test_a_blur_of_no_width_changes_no_bit(blur: GaussianBlur):
    image = torch.rand(3, 12, 12)
    assert torch.equal(blur(image), image)


@pytest.mark.parametrize("size", [0, 4, -1])
def test_an_even_kernel_is_refused(size: int):
    with pytest.raises(ValueError, match="odd"):
        kernels.gaussian(size, sigma=(1.0, 1.0))


@given(st.integers(1, 3000))
def test_quick_lengths_hold_what_they_must_and_little_more(length: int):
    assert length <= kernels.quick_length(length) <= max(length + 9, 1.12 * length)
