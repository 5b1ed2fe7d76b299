"""Noise of a developed mosaic: strength, colours, what neighbours share, and that the photo stays."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hfmoe.data.degradations.mosaic import MosaicNoise, bayer, demosaiced
from hfmoe.data.degradations.noise import linear

GRAY = torch.full((3, 200, 200), 0.5)
NOISE = MosaicNoise(0.002, 0.004, (2.0, 1.5), 0.6, (0.0, 0.0), (0, 0), 1)


def beside(map_: torch.Tensor) -> float:
    """Correlation of each pixel with the one to its right."""
    return float(np.corrcoef(map_[:, 1:].flatten(), map_[:, :-1].flatten())[0, 1])


@pytest.mark.parametrize("level", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("smoothing", [(0.0, 0.0), (0.6, 2.0)])
def test_the_noise_has_the_variance_it_says_whatever_development_does(
    level: float, smoothing: tuple[float, float]
):
    image = torch.full((3, 200, 200), level)
    light = linear(image)
    found = (linear(replace(NOISE, smoothing=smoothing)(image)) - light).square().mean()
    assert found.item() == pytest.approx(0.002 * light[0, 0, 0].item() + 0.004**2, rel=0.02)


def test_white_balance_makes_red_and_blue_noisier_than_green():
    plain = replace(NOISE, balance=(1.0, 1.0), saturation=0.0)
    balanced = replace(plain, balance=(4.0, 1.0))
    ratios = [(noise(GRAY) - GRAY)[0].std() / (noise(GRAY) - GRAY)[2].std() for noise in (plain, balanced)]
    assert ratios[0].item() == pytest.approx(1, abs=0.05)
    assert ratios[1].item() > 1.3


def test_demosaicing_makes_chroma_coarser_than_luma():
    noise = NOISE(GRAY) - GRAY
    assert beside(noise[0] - noise[1]) > beside(noise.mean(dim=0)) + 0.2


def test_smoothing_of_chroma_leaves_luma_alone():
    fine, smooth = (replace(NOISE, smoothing=(0.0, chroma))(GRAY) - GRAY for chroma in (0.0, 2.0))
    assert beside(smooth[0] - smooth[1]) > 0.9
    lumas = np.corrcoef(fine.mean(dim=0).flatten(), smooth.mean(dim=0).flatten())
    assert lumas[0, 1] > 0.99


def test_saturation_makes_the_colours_noise_less_alike():
    dull, vivid = (replace(NOISE, saturation=s)(GRAY) - GRAY for s in (0.0, 1.0))
    alike = [float(np.corrcoef(noise[0].flatten(), noise[1].flatten())[0, 1]) for noise in (dull, vivid)]
    assert alike[1] < alike[0] - 0.2


@pytest.mark.parametrize("phase", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_each_element_has_one_colour_and_keeps_its_value(phase: tuple[int, int]):
    places = bayer(6, 8, phase=phase)
    assert torch.equal(places.sum(dim=0), torch.ones(6, 8))
    assert places[0, phase[0], phase[1]] == 1
    assert places.sum(dim=(1, 2)).tolist() == [12, 24, 12]
    elements = torch.rand(1, 6, 8)
    assert torch.allclose((demosaiced(elements, places) * places).sum(dim=0), elements[0], atol=1e-6)


def test_equal_elements_give_gray():
    developed = demosaiced(torch.full((1, 9, 9), 0.7), bayer(9, 9, phase=(1, 0)))
    assert torch.allclose(developed[:, 2:-2, 2:-2], torch.tensor(0.7), atol=1e-6)


def test_no_noise_leaves_the_photo():
    image = torch.rand(3, 9, 11)
    silent = replace(NOISE, shot=0.0, read=0.0)
    assert torch.allclose(silent(image), image, atol=1e-5)


@given(
    seed=st.integers(0, 2**53),
    channels=st.sampled_from([1, 3]),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
)
@settings(deadline=None, max_examples=30)
def test_any_size_gets_noise_of_its_seed_inside_the_range(seed: int, channels: int, height: int, width: int):
    image = torch.rand(channels, height, width)
    noise = replace(NOISE, seed=seed, smoothing=(0.5, 1.5))
    noisy = noise(image)
    assert noisy.shape == image.shape
    assert torch.equal(noisy, noise(image))
    assert noisy.min() >= 0
    assert noisy.max() <= 1
    assert not torch.equal(noisy, replace(noise, seed=seed + 1)(image))
