"""NIQE: what it takes for natural, and its file."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from skimage import data

from hfmoe.data.degradations.blur import GaussianBlur
from hfmoe.metrics.niqe import NIQE, natural_features
from hfmoe.metrics.weights import convert_niqe, load_niqe, main


def photo(image):
    return torch.from_numpy(image.copy()).permute(2, 0, 1)[None].double() / 255


PHOTOS = [
    photo(data.astronaut()[:384, :384]),
    photo(data.coffee()[:384, :480]),
    photo(data.cat()[:288, :384]),
]


@pytest.fixture(scope="module")
def niqe():
    """The statistics of three sharp photos as those of nature."""
    features = torch.cat([natural_features(image) for image in PHOTOS])
    known = features[~features.isnan().any(1)]
    model = NIQE()
    model.mean.copy_(known.mean(0))
    model.covariance.copy_(torch.cov(known.T))
    return model


def test_blur_and_noise_are_less_natural_than_the_photo(niqe):
    generator = torch.Generator().manual_seed(0)
    image = photo(data.astronaut()[128:512, 128:512])
    noise = torch.randn(image.shape, generator=generator, dtype=image.dtype)
    blurred = GaussianBlur(13, sigma=(2.0, 2.0))(image[0].float())[None].double()
    own, soft, noisy = (niqe(each.clamp(0, 1)).item() for each in (image, blurred, image + 0.1 * noise))
    assert own < soft
    assert own < noisy


def test_the_truth_is_not_looked_at_and_turning_colours_to_gray_changes_nothing(niqe):
    image = PHOTOS[1].float()
    assert torch.equal(niqe(image), niqe(image, torch.zeros_like(image)))
    gray = (0.256788 * image[:, :1] + 0.504129 * image[:, 1:2] + 0.097906 * image[:, 2:]) / 0.858823
    torch.testing.assert_close(niqe(gray.expand(-1, 3, -1, -1)), niqe(image), rtol=0.05, atol=0.0)


def test_images_without_two_squares_to_measure_are_named(niqe):
    with pytest.raises(ValueError, match="two squares of 96 pixels, not 120 x 191"):
        niqe(torch.rand(1, 3, 120, 191))
    with pytest.raises(ValueError, match="not flat"):
        niqe(torch.full((1, 3, 96, 192), 0.5))


def test_the_authors_file_becomes_one_that_loads(niqe, tmp_path):
    own, out = tmp_path / "params.npz", tmp_path / "niqe.safetensors"
    np.savez(own, mu_pris_param=niqe.mean.numpy()[None], cov_pris_param=niqe.covariance.numpy())
    main(["niqe", str(out), str(own)])
    assert torch.equal(load_niqe(out)(PHOTOS[0]), niqe(PHOTOS[0]))
    np.savez(own, mu_pris_param=niqe.mean.numpy())
    with pytest.raises(ValueError, match="no tensor covariance"):
        convert_niqe(own)
    save_file({"mean": niqe.mean}, out)
    with pytest.raises(ValueError, match="no tensor covariance"):
        load_niqe(out)
