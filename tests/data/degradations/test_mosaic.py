"""Noise of a developed mosaic: strength, colours, what neighbours share, and that the photo stays."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hfmoe.data.degradations.mosaic import MosaicNoise, bayer, demosaiced, draw_mosaic_noise
from hfmoe.data.degradations.noise import linear

GRAY = torch.full((3, 200, 200), 0.5)
NOISE = MosaicNoise(0.002, 0.004, (2.0, 1.5), 0.6, (0.0, 0.0), (0, 0), 1)


def beside(map_: torch.Tensor) -> float:
    """Correlation of each pixel with the one to its right."""
    return float(np.corrcoef(map_[:, 1:].flatten(), map_[:, :-1].flatten())[0, 1])


@pytest.mark.parametrize("level", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("smoothing", [(0.0, 0.0), (0.8, 2.8)])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_noise_has_the_variance_it_says_whatever_development_does(
    level: float, smoothing: tuple[float, float], channels: int
):
    """On many crops of a training patch's size: nothing at their borders makes it more or less."""
    image = torch.full((channels, 64, 64), level)
    light = linear(image)
    found = [
        (linear(replace(NOISE, smoothing=smoothing, seed=seed)(image)) - light).square().mean().item()
        for seed in range(40)
    ]
    expected = 0.002 * light[0, 0, 0].item() + 0.004**2
    assert sum(found) / len(found) == pytest.approx(expected, rel=0.03)


def test_bright_places_are_noisier_than_dark_ones():
    image = torch.full((3, 100, 200), 0.2)
    image[..., 100:] = 0.8
    noise = linear(replace(NOISE, read=0.0)(image)) - linear(image)
    ratio = noise[..., 110:].std() / noise[..., :90].std()
    dark, bright = linear(torch.tensor([[[0.2, 0.8]]])).flatten().tolist()
    assert ratio.item() == pytest.approx((bright / dark) ** 0.5, rel=0.1)


@pytest.mark.parametrize(("balance", "noisy", "others"), [((4.0, 1.0), 0, (1, 2)), ((1.0, 4.0), 2, (0, 1))])
def test_white_balance_makes_its_colour_noisier_than_the_others(
    balance: tuple[float, float], noisy: int, others: tuple[int, int]
):
    plain = replace(NOISE, balance=(1.0, 1.0), saturation=0.0)
    even = (plain(GRAY) - GRAY).std(dim=(1, 2))
    found = (replace(plain, balance=balance)(GRAY) - GRAY).std(dim=(1, 2)) / even
    assert all(found[noisy] > 1.3 * found[other] for other in others)


def test_red_elements_lie_where_the_phase_says():
    """Red is noisiest where it was measured, and the mean of neighbours elsewhere."""
    for phase in ((0, 1), (1, 0)):
        alone = replace(NOISE, phase=phase, balance=(4.0, 1.0), saturation=0.0)
        red = (alone(GRAY) - GRAY)[0]
        at = {(y, x): red[y::2, x::2].std().item() for y in (0, 1) for x in (0, 1)}
        assert max(at, key=lambda place: at[place]) == phase


def test_silence_is_finite_in_half_precision():
    silent = replace(NOISE, shot=0.0, read=0.0)
    assert silent(torch.full((3, 9, 9), 0.5, dtype=torch.bfloat16)).isfinite().all()


@pytest.mark.parametrize("sigma", [10.0, 25.0])
def test_drawn_cameras_are_about_as_noisy_as_asked(sigma: float):
    generator = torch.Generator().manual_seed(0)
    found = [
        ((draw_mosaic_noise(generator, sigma)(GRAY[:, :48, :48]) - 0.5).square().mean().sqrt() * 255).item()
        for _ in range(60)
    ]
    assert sum(found) / len(found) == pytest.approx(sigma, rel=0.2)


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
