"""The measure of grids: what it must overlook, what it must see, and what shipped models draw."""

import pytest
import torch
from torch import Tensor

from hfmoe.image.resize import resize
from hfmoe.metrics.grid import grid_strength
from hfmoe.models.folding import fold
from hfmoe.models.header import shipped
from hfmoe.models.weights import load_weights, read_header

MOST = 6.0
"""Above it a grid shows on flat dark places at 100 %."""

DRAW_A_GRID = {"nano-x3", "nano-x4", "tiny-x2", "tiny-x4", "tiny-photo-x2", "tiny-photo-x4"}
"""Models that still do, from before the measure; a new one must not."""

ENLARGING = [name for name, path in shipped().items() if read_header(path).config.scale > 1]


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_enlargement_draws_no_grid(scale: int):
    assert max(grid_strength(lambda image: resize(image, scale=scale), scale=scale).values()) < 1.3


@pytest.mark.parametrize("period", [2, 4])
def test_a_faint_periodic_pattern_is_seen_and_noise_as_strong_is_not(period: int):
    def patterned(image: Tensor) -> Tensor:
        large = resize(image, scale=4)
        stripes = torch.arange(large.shape[-1]) % period < period / 2
        return large + 0.002 * stripes

    def noisy(image: Tensor) -> Tensor:
        large = resize(image, scale=4)
        return large + 0.002 * torch.randn(large.shape, generator=torch.Generator().manual_seed(1))

    assert min(grid_strength(patterned, scale=4).values()) > 3 * MOST
    assert max(grid_strength(noisy, scale=4).values()) < MOST / 2


def test_scale_1_is_refused():
    with pytest.raises(ValueError, match="scale 1"):
        grid_strength(lambda image: image, scale=1)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.xfail(strict=True) if name in DRAW_A_GRID else ())
        for name in ENLARGING
    ],
)
def test_a_shipped_model_draws_no_grid(name: str):
    loaded = load_weights(shipped()[name])
    network = fold(loaded.network).eval()
    strength = grid_strength(lambda image: network(image).image, scale=loaded.config.scale)
    assert max(strength.values()) <= MOST
