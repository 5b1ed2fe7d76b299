"""Noise: strength, colour, signal dependence, seeds."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hfmoe.data.degradations.noise import GaussianNoise, PoissonNoise, SensorNoise, display, linear, poisson

GRAY = torch.full((3, 200, 200), 0.5)


def test_gaussian_noise_has_its_deviation_and_no_bias():
    noise = GaussianNoise(25.0, 3)(GRAY) - GRAY
    assert (noise.std() * 255).item() == pytest.approx(25, rel=0.01)
    assert (noise.mean() * 255).item() == pytest.approx(0, abs=0.3)


@pytest.mark.parametrize("correlation", [0.0, 0.4, 1.0])
def test_channels_are_as_correlated_as_they_should_be_at_the_same_strength(correlation: float):
    noise = (GaussianNoise(20.0, 5, correlation)(GRAY) - GRAY) * 255
    measured = np.corrcoef(noise.flatten(1).numpy())
    assert measured[0, 1] == pytest.approx(correlation, abs=0.02)
    assert noise.std(dim=(1, 2)).tolist() == pytest.approx([20] * 3, rel=0.02)


def test_poisson_noise_has_a_variance_proportional_to_the_signal():
    for level in (0.1, 0.3, 0.6, 0.9):
        image = torch.full((3, 200, 200), level)
        noise = PoissonNoise(1.5, 7)(image) - image
        assert noise.var().item() == pytest.approx(1.5**2 * level / 255, rel=0.03)
        assert noise.mean().item() == pytest.approx(0, abs=1e-3)


def test_gray_poisson_noise_is_the_same_in_every_channel():
    noise = PoissonNoise(2.0, 1, gray=True)(GRAY) - GRAY
    assert torch.allclose(noise[0], noise[2], atol=1e-6)


@pytest.mark.parametrize("rate", [0.0, 0.5, 2.0, 5.0, 20.0, 200.0])
def test_counts_are_close_to_exact_poisson_counts(rate: float):
    counts = poisson(torch.full((1, 300, 300), rate), seed=2)
    assert torch.equal(counts, counts.round())
    assert counts.min() >= 0
    assert counts.mean().item() == pytest.approx(rate, rel=0.01, abs=0.06)
    assert counts.var().item() == pytest.approx(rate, rel=0.03, abs=0.15)
    if rate >= 5:
        skewness = ((counts - rate) / rate**0.5).pow(3).mean().item()
        assert skewness == pytest.approx(rate**-0.5, abs=0.06)


def test_sensor_noise_grows_with_light_and_neighbours_share_it():
    noisy = SensorNoise(0.002, 0.004, 0.8, 0.5, 1)
    deviations = []
    for level in (0.1, 0.5, 0.9):
        image = torch.full((3, 200, 200), level)
        deviations.append((linear(noisy(image)) - linear(image)).std().item())
        expected = (0.002 * linear(image)[0, 0, 0].item() + 0.004**2) ** 0.5
        assert deviations[-1] == pytest.approx(expected, rel=0.05)
    assert deviations == sorted(deviations)
    noise = noisy(GRAY) - GRAY
    assert np.corrcoef(noise[0, :, 1:].flatten(), noise[0, :, :-1].flatten())[0, 1] > 0.3
    assert np.corrcoef(noise[0].flatten(), noise[1].flatten())[0, 1] == pytest.approx(0.5, abs=0.05)


def test_light_and_display_values_are_inverse():
    values = torch.linspace(0, 1, 1001)
    assert torch.allclose(display(linear(values[None, None])), values[None, None], atol=1e-5)


@pytest.mark.parametrize(
    "noise", [GaussianNoise(0.0, 1), PoissonNoise(0.0, 1), GaussianNoise(0.0, 1, 0.5)], ids=str
)
def test_noise_of_no_strength_changes_no_bit(noise: GaussianNoise):
    image = torch.rand(3, 9, 9)
    assert torch.equal(noise(image), image)


@given(seed=st.integers(0, 2**53), channels=st.sampled_from([1, 3]), side=st.integers(1, 9))
@settings(deadline=None, max_examples=30)
def test_noise_is_a_function_of_its_seed(seed: int, channels: int, side: int):
    image = torch.rand(channels, side, side)
    for noise in (
        GaussianNoise(9.0, seed, 0.3),
        PoissonNoise(1.0, seed),
        PoissonNoise(1.0, seed, gray=True),
        SensorNoise(0.01, 0.01, 0.5, 0.2, seed),
    ):
        assert torch.equal(noise(image), noise(image))
        assert noise(image).shape == image.shape


def test_other_seeds_give_other_noise():
    assert not torch.equal(GaussianNoise(9.0, 1)(GRAY), GaussianNoise(9.0, 2)(GRAY))
