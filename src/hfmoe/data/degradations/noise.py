"""Noise of sensors and of the papers, each with the seed of its own field, and the task of removing it.

The fields are drawn on the CPU whatever device the image is on, so that a recipe gives the same noise
everywhere.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from hfmoe.data.degradations.kernels import convolved, gaussian
from hfmoe.data.degradations.resampling import Round
from hfmoe.data.degradations.sampling import chance, draw_seed, uniform
from hfmoe.data.degradations.task import Operation, Task, within
from hfmoe.data.fields import Ramped, Share, fixed

_GRAY = (0.299, 0.587, 0.114)

BENCHMARK_SIGMAS = (15.0, 25.0, 50.0)
"""Standard deviations of 255 that papers score at."""


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
    """Noise of a sensor after raw development: it grows with light, and neighbours share it.

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


class DenoiseTask(Task):
    """Noise of a standard deviation drawn from `sigma` (of 255).

    gray: share of images with gray noise; sensor: share with sensor noise of about that strength instead;
    rounded: share that is rounded and clamped to 8 bits, as files are and the papers' benchmarks are not.
    """

    kind: Literal["denoise"] = "denoise"
    sigma: Ramped = fixed(0.0, 55.0)
    gray: Share = 0.0
    sensor: Share = 0.0
    rounded: Share = 0.0

    def draw(
        self, generator: torch.Generator, *, size: tuple[int, int], scale: int, share: float = 1.0
    ) -> list[Operation]:
        """Draw noise, and whether it is rounded."""
        sigma = uniform(generator, self.sigma.at(share))
        if chance(generator, self.sensor):
            noise = draw_sensor_noise(generator, sigma)
        else:
            correlation = float(chance(generator, self.gray))
            noise = GaussianNoise(sigma, draw_seed(generator), correlation)
        return [noise, Round()] if chance(generator, self.rounded) else [noise]

    def benchmark(self) -> dict[str, tuple[Operation, ...]]:
        """Return Gaussian noise of the papers' strengths."""
        return {f"{s:g}": (GaussianNoise(s, 0),) for s in within(self.sigma.at(1.0), BENCHMARK_SIGMAS)}


def draw_sensor_noise(generator: torch.Generator, sigma: float) -> SensorNoise:
    """Draw sensor noise that is about as strong as Gaussian noise of `sigma` / 255 on middle gray."""
    shot, read = draw_shot_and_read(generator, sigma)
    grain, correlation = uniform(generator, (0.3, 0.8)), uniform(generator, (0.0, 0.6))
    return SensorNoise(shot, read, grain, correlation, draw_seed(generator))


def draw_shot_and_read(generator: torch.Generator, sigma: float) -> tuple[float, float]:
    """Draw the parts of a sensor's noise in linear light, together about `sigma` / 255 on middle gray."""
    shot = 4 * (sigma / 255) ** 2 * uniform(generator, (0.5, 1.5))
    return shot, sigma / 255 * uniform(generator, (0.02, 0.1))


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
