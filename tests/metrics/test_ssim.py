"""SSIM against scikit-image's and by its properties."""

from typing import Any

import numpy as np
import pytest
import torch
from skimage import data
from skimage.metrics import structural_similarity

from hfmoe.metrics.ssim import ssim


def _photo():
    return data.astronaut()[100:180, 150:250].astype(np.float64) / 255


def _tensor(array):
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(array, -1, 0)))[None]


@pytest.mark.parametrize("sigma", [0.02, 0.2])
def test_ssim_of_a_photo_equals_scikit_images_over_full_windows(sigma):
    photo = _photo()
    noisy = np.clip(photo + np.random.default_rng(1).normal(0, sigma, photo.shape), 0, 1)
    result: Any = structural_similarity(
        photo,
        noisy,
        channel_axis=-1,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    maps = result[1]
    expected = maps[5:-5, 5:-5].mean()
    assert ssim(_tensor(noisy), _tensor(photo)).item() == pytest.approx(expected, abs=1e-9)
    inner = maps[7:-7, 7:-7].mean()
    assert ssim(_tensor(noisy), _tensor(photo), border=2).item() == pytest.approx(inner, abs=1e-9)


def test_ssim_of_equal_images_is_one():
    photo = _tensor(_photo())
    assert ssim(photo, photo).item() == pytest.approx(1, abs=1e-12)


def test_ssim_is_symmetric_and_each_image_of_a_batch_scores_as_alone():
    generator = torch.Generator().manual_seed(0)
    image, target = torch.rand(2, 3, 3, 15, 18, generator=generator)
    together = ssim(image, target)
    torch.testing.assert_close(together, ssim(target, image))
    torch.testing.assert_close(
        together, torch.cat([ssim(image[i : i + 1], target[i : i + 1]) for i in range(3)])
    )


def test_an_image_smaller_than_the_window_is_refused():
    small = torch.rand(1, 1, 14, 30)
    assert ssim(small, small, border=1).shape == (1,)
    with pytest.raises(ValueError, match="11 x 11"):
        ssim(small, small, border=2)
