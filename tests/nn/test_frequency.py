import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hfmoe.nn.frequency import TYPICAL, FrequencySplit, NoSplit, inject_noise, upsample, window_energy

EVEN = st.integers(1, 9).map(lambda half: 2 * half)


def scrambled(learned: bool = True) -> FrequencySplit:
    split = FrequencySplit(3, learned=learned)
    with torch.no_grad():
        split.logits.add_(torch.randn(split.logits.shape, generator=torch.Generator().manual_seed(0)))
    return split


@settings(deadline=None, max_examples=15)
@given(height=EVEN, width=EVEN, value=st.floats(-2, 2))
def test_a_constant_image_has_no_high_band_whatever_was_learned(height, width, value):
    bands = scrambled()(torch.full((1, 3, height, width), value))
    torch.testing.assert_close(bands.high, torch.zeros(1, 3, height, width), atol=1e-6, rtol=0)


@settings(deadline=None, max_examples=15)
@given(height=EVEN, width=EVEN, seed=st.integers(0, 99))
def test_the_two_bands_add_up_to_the_input(height, width, seed):
    x = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(seed))
    bands = scrambled()(x)
    torch.testing.assert_close(upsample(bands.low) + bands.high, x, atol=1e-6, rtol=1e-6)


def test_the_kernel_starts_binomial():
    impulse = torch.zeros(1, 1, 8, 8)
    impulse[0, 0, 3, 3] = 64
    low = FrequencySplit(1)(impulse).low
    torch.testing.assert_close(low[0, 0, 1, 1], torch.tensor(9.0))
    torch.testing.assert_close(low[0, 0, 2, 2], torch.tensor(1.0))


def test_a_learned_kernel_trains_and_a_frozen_one_does_not():
    x = torch.randn(1, 3, 8, 8)
    learned, frozen = FrequencySplit(3), FrequencySplit(3, learned=False)
    learned(x).high.square().sum().backward()
    assert learned.logits.grad is not None and learned.logits.grad.abs().sum() > 0
    assert list(frozen.parameters()) == []
    assert "logits" in frozen.state_dict()


def test_without_the_split_the_high_path_gets_the_input_itself():
    x = torch.randn(1, 3, 8, 8)
    assert torch.equal(NoSplit()(x).high, x)


def test_the_router_sees_the_strength_of_the_detail_with_the_split_and_without():
    """A bright flat half has less of it than a dark one with noise."""
    x = torch.full((1, 4, 32, 32), 0.9)
    x[..., 16:] = 0.1 + 0.05 * torch.randn(1, 4, 32, 16, generator=torch.Generator().manual_seed(0))
    for split in (FrequencySplit(4), NoSplit()):
        energy = window_energy(split(x).detail, window=8)
        assert (energy[..., 3] > energy[..., 0] + 2).all()


def test_window_energy_is_the_log_of_each_windows_root_mean_square_over_the_typical_one():
    high = torch.full((1, 4, 32, 32), TYPICAL)
    high[:, :, 16:, 16:] *= 3.0
    energy = window_energy(high, window=16)
    torch.testing.assert_close(energy, torch.tensor([[[1.0, 1.0], [1.0, 3.0]]]).log())


def test_injected_noise_is_relative_to_the_band_and_replayable():
    high = 5 * torch.randn(1, 2, 64, 64, generator=torch.Generator().manual_seed(1))
    draws = [
        inject_noise(high, amount=0.1, generator=torch.Generator().manual_seed(seed)) for seed in (7, 7, 8)
    ]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    assert abs((draws[0] - high).std().item() - 0.5) < 0.02
