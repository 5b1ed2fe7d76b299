"""Folders of drawn photos."""

from pathlib import Path

import numpy as np
import pytest
import torch

from hfmoe.image.files import Picture, write_picture


def drawn(height: int, width: int, *, seed: int) -> torch.Tensor:
    """Soft waves of random colours with some noise: no two places look alike."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / 16
    phases = generator.uniform(0, 6, size=(3, 1, 1))
    waves = 0.5 + 0.3 * np.sin(x + phases) * np.cos(1.3 * y + phases)
    return torch.from_numpy((waves + generator.normal(0, 0.05, size=(3, height, width))).clip(0, 1)).float()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    photos = tmp_path / "photos"
    photos.mkdir()
    for index, (height, width) in enumerate([(64, 96), (97, 65), (80, 80)]):
        picture = Picture(drawn(height, width, seed=index), alpha=None, bits=8, icc=None)
        write_picture(photos / f"{index}.png", picture)
    return photos
