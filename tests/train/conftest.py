"""A tiny recipe on drawn photos."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hfmoe.image.files import Picture, write_picture
from hfmoe.models.config import HFMoEConfig
from hfmoe.train import Recipe, make_recipe

TINY = {
    "dim": 8,
    "low_dims": [8],
    "head_dim": 8,
    "encoder_blocks": [1],
    "decoder_blocks": [],
    "experts": [0.5, 1.0],
    "texture_blocks": 1,
    "texture_hidden": 8,
    "dynamic_width": 4,
    "dynamic_groups": 2,
    "cross_dim": 4,
    "cross_stride": 1,
}


def drawn(size: int, *, seed: int) -> torch.Tensor:
    """Rings and edges at random places."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    centres = generator.uniform(0, size, size=(3, 2, 1, 1))
    distance = np.hypot(y - centres[:, 0], x - centres[:, 1])
    rings = 0.5 + 0.3 * np.sign(np.sin(distance / 4)) + 0.1 * np.cos(x / 3)
    return torch.from_numpy(rings.clip(0, 1)).float()


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(3):
        write_picture(folder / f"{seed}.png", Picture(drawn(96, seed=seed), alpha=None, bits=8, icc=None))
    return folder


@pytest.fixture
def data(photos: Path, tmp_path: Path) -> dict[str, Any]:
    """The plain values of a recipe that trains in a second or two."""
    return {
        "name": "drawn",
        "preset": "nano-x2",
        "network": TINY,
        "train": str(photos),
        "run": str(tmp_path / "run"),
        "steps": 12,
        "batch": 2,
        "patch": 32,
        "log": {"every": 4},
        "perturb": {"temperature_start": 2.0, "router_noise": 0.1, "hf_noise": 0.01},
        "hardware": {"accelerator": "cpu", "threads": 1},
    }


@pytest.fixture
def make(data: dict[str, Any]) -> Callable[..., Recipe]:
    """Give the tiny recipe with some of its fields replaced."""
    return lambda **fields: make_recipe({**data, **fields})


@pytest.fixture
def config(data: dict[str, Any]) -> HFMoEConfig:
    """Give the configuration of the tiny recipe's network."""
    return make_recipe(data).config()
