"""Training losses: pure functions of (restored, target), or of the outputs of other networks for them."""

from hfmoe.losses.adversarial import discriminator_loss, generator_loss
from hfmoe.losses.discriminator import UNetDiscriminator
from hfmoe.losses.grid import grid_l1
from hfmoe.losses.high_band import high_band_l1
from hfmoe.losses.laplacian import laplacian_l1
from hfmoe.losses.perceptual import VGGFeatures, perceptual
from hfmoe.losses.pixel import charbonnier, l1, mse
from hfmoe.losses.spectrum import fft_l1

__all__ = [
    "UNetDiscriminator",
    "VGGFeatures",
    "charbonnier",
    "discriminator_loss",
    "fft_l1",
    "generator_loss",
    "grid_l1",
    "high_band_l1",
    "l1",
    "laplacian_l1",
    "mse",
    "perceptual",
]
