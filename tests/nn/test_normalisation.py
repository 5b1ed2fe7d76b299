import pytest
import torch

from hfmoe.nn.normalisation import ChannelLayerNorm, GlobalResponseNorm, PixelRMSNorm, build_norm


def test_layer_norm_standardises_the_channels_of_each_pixel():
    y = ChannelLayerNorm(16)(3 + 5 * torch.randn(2, 16, 4, 4))
    torch.testing.assert_close(y.mean(1), torch.zeros(2, 4, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.std(1, unbiased=False), torch.ones(2, 4, 4), atol=1e-3, rtol=0)


def test_global_response_norm_starts_as_the_identity_and_follows_its_formula():
    x = torch.randn(2, 3, 5, 4)
    norm = GlobalResponseNorm(3)
    assert torch.equal(norm(x), x)
    with torch.no_grad():
        norm.gamma.fill_(0.5)
        norm.beta.fill_(0.25)
    strength = x.square().sum((2, 3)).sqrt()
    expected = 0.5 * x * (strength / strength.mean(1, keepdim=True))[:, :, None, None] + 0.25 + x
    torch.testing.assert_close(norm(x), expected, atol=1e-4, rtol=1e-4)


def test_rms_norm_gives_every_pixel_the_same_energy_and_leaves_flat_ones_flat():
    x = torch.randn(2, 16, 4, 4) * torch.logspace(-1, 3, 16).view(1, 1, 4, 4)
    y = PixelRMSNorm(eps=1e-5)(x)
    torch.testing.assert_close(y.square().mean(1), torch.ones(2, 4, 4), atol=1e-2, rtol=0)
    flat = torch.full((1, 16, 2, 2), 1e-4)
    assert PixelRMSNorm(eps=1e-5)(flat).abs().max() < 0.04


def test_rms_norm_has_the_gradient_of_its_formula():
    x = torch.randn(2, 5, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(PixelRMSNorm(eps=0.1), x)


def test_an_unknown_norm_is_named():
    with pytest.raises(ValueError, match="'batch'"):
        build_norm("batch", 4)
