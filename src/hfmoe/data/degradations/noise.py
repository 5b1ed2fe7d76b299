"""Noise of sensors and of the papers; each carries the seed of its own field.

The fields are drawn on the CPU whatever device the image is on, so that a recipe gives the same noise
everywhere.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from hfmoe.data.degradations.blur import convolved
from hfmoe.data.degradations.kernels import gaussian

_GRAY = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class GaussianNoise:
    """White noise of standard deviation `sigma` / 255.

    correlation: of the channels with each other; 0 is colour noise, 1 is gray.
    """

    kind: ClassVar[str] = "gaussian_noise"
    sigma: float
    seed: int
    correlation: float = 0.0

    def __call__(self, image: Float[Tensor, "c h w"]) -> Float[Tensor, "c h w"]:
        """Add the noise; nothing is clamped."""
        return image + self.sigma / 255 * field(image, seed=self.seed, correlation=self.correlation)


@dataclass(frozen=True)
class PoissonNoise:
    """Shot noise of 256 photons at white, its deviation times `strength`: variance strength^2 image / 256.

    gray: the noise of the luma in every channel.
    """

    kind: ClassVar[str] = "poisson_noise"
    strength: float
    seed: int
    gray: bool = False

    def __call__(self, image: Float[Tensor, "c h w"]) -> Float[Tensor, "c h w"]:
        """Add the noise; nothing is clamped."""
        signal = image.clamp(0, 1)
        if self.gray and len(image) == 3:
            signal = (signal * signal.new_tensor(_GRAY)[:, None, None]).sum(dim=0, keepdim=True)
        rate = 255 * signal
        counts = poisson(rate, seed=self.seed)
        return image + self.strength / 255 * (counts - rate)


@dataclass(frozen=True)
class SensorNoise:
    """What is left of a sensor's noise after development: it grows with light, and neighbours share it.

    Added in linear light with variance shot x light + read^2. grain: standard deviation in pixels of the
    filter that demosaicing and denoising amount to; correlation: of the channels, as colour correction
    mixes them.
    """

    kind: ClassVar[str] = "sensor_noise"
    shot: float
    read: float
    grain: float
    correlation: float
    seed: int

    def __call__(self, image: Float[Tensor, "c h w"]) -> Float[Tensor, "c h w"]:
        """Add the noise; the result is clamped to [0, 1]."""
        light = linear(image.clamp(0, 1))
        noise = field(image, seed=self.seed, correlation=self.correlation)
        kernel = gaussian(7, sigma=(self.grain, self.grain))
        noise = convolved(noise, kernel) / math.sqrt((kernel**2).sum())
        return display((light + noise * (self.shot * light + self.read**2).sqrt()).clamp(0, 1))


def field(image: Float[Tensor, "c h w"], *, seed: int, correlation: float = 0.0) -> Float[Tensor, "c h w"]:
    """Draw standard normal noise of an image's shape on its device, from the seed alone."""
    generator = torch.Generator().manual_seed(seed)
    channels, height, width = image.shape
    if correlation >= 1:
        return torch.randn(1, height, width, generator=generator).to(image).expand(channels, -1, -1)
    own = torch.randn(channels, height, width, generator=generator)
    if correlation > 0 and channels > 1:
        common = torch.randn(1, height, width, generator=generator)
        own.mul_(math.sqrt(1 - correlation)).add_(common, alpha=math.sqrt(correlation))
    return own.to(image)


def poisson(rate: Float[Tensor, "c h w"], *, seed: int) -> Float[Tensor, "c h w"]:
    """Draw Poisson counts from normal ones by the first terms of the Cornish-Fisher expansion, rounded.

    Mean, variance and skewness are those of the distribution from some 5 photons on, mean and variance within
    0.05 and 0.15 below; exact sampling takes ten times as long.
    """
    normal, deviation = field(rate, seed=seed), rate.sqrt()
    skew = normal.square().sub_(1).mul_(deviation.clamp(max=1)).div_(6)
    return deviation.mul_(normal).add_(rate).add_(skew).round_().clamp_(min=0)


def linear(image: Float[Tensor, "c h w"]) -> Float[Tensor, "c h w"]:
    """Light of sRGB values in [0, 1] (IEC 61966-2-1)."""
    return torch.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4)


def display(light: Float[Tensor, "c h w"]) -> Float[Tensor, "c h w"]:
    """The inverse of `linear`."""
    bright = 1.055 * light.clamp(min=0.003) ** (1 / 2.4) - 0.055
    return torch.where(light <= 0.0031308, light * 12.92, bright)
