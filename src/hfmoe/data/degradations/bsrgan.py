"""Blur, shrinking, noise and JPEG in random order, as BSRGAN degrades photos.

Zhang et al., "Designing a Practical Degradation Model for Deep Blind Image Super-Resolution", 2021, with the
numbers of its public code. Three things are simpler here: the noise whose channels are correlated has one
drawn correlation instead of a drawn covariance; a camera's processed raw noise is `SensorNoise`; the blur
before decimation is centred, so that nothing shifts.
"""

import math
from dataclasses import dataclass, replace

import torch

from hfmoe.data.degradations.blur import GaussianBlur
from hfmoe.data.degradations.jpeg import Jpeg, WebP
from hfmoe.data.degradations.noise import GaussianNoise, SensorNoise
from hfmoe.data.degradations.resampling import Clamp, Method, Resize, Round
from hfmoe.data.degradations.sampling import Range, between, chance, choice, draw_seed, uniform, whole
from hfmoe.data.degradations.task import Operation

METHODS: tuple[Method, ...] = ("area", "bilinear", "bicubic")
SIZES = tuple(range(7, 26, 2))


@dataclass(frozen=True)
class Shuffled:
    """Two blurs, shrinking in two steps, Gaussian noise, sensor noise and JPEG in random order, then JPEG.

    blur: scales the widths of both blurs. noise: sigma x 255. sensor, jpegs: shares of images with sensor
    noise and with a first JPEG. jpeg: quality of both. webp: share of last files that are WebP.
    """

    blur: float = 1.0
    noise: Range = (2.0, 25.0)
    sensor: float = 0.25
    jpegs: float = 0.9
    jpeg: Range = (30.0, 95.0)
    webp: float = 0.0

    def softened(self, strength: float) -> "Shuffled":
        """Shrink every range toward its harmless end; 1 changes nothing."""
        return replace(
            self,
            blur=self.blur * strength,
            noise=between((self.noise[0], self.noise[0]), self.noise, strength),
            sensor=self.sensor * strength,
            jpegs=self.jpegs * strength,
            jpeg=between((self.jpeg[1], self.jpeg[1]), self.jpeg, strength),
        )

    def draw(self, generator: torch.Generator, *, size: tuple[int, int], scale: int) -> list[Operation]:
        """Draw the operations for an image of `size`, whose result has 1/scale of its sides."""
        operations: list[Operation] = []
        rest = float(scale)
        if scale == 4 and chance(generator, 0.25):
            operations.append(_resize(generator, size, 1 / 2))
            rest = 2.0
        steps = [
            [self._blur(generator, rest)],
            [self._blur(generator, rest)],
            _first_shrink(generator, size, scale=scale, rest=rest),
            [_resize(generator, size, 1 / scale)],
            [self._noise(generator), Clamp()],
            [self._quality(generator)] if chance(generator, self.jpegs) else [],
            [_sensor_noise(generator)] if chance(generator, self.sensor) else [],
        ]
        for number in _order(generator):
            operations += steps[number]
        quality = self._quality(generator)
        last = WebP(quality.quality) if chance(generator, self.webp) else quality
        return [*operations, Clamp(), last, Round()]

    def _blur(self, generator: torch.Generator, rest: float) -> GaussianBlur:
        size = choice(generator, SIZES)
        if chance(generator, 0.5):
            widest = self.blur**2 * (4 + rest)
            long, short = (math.sqrt(uniform(generator, (0.0, widest))) for _ in range(2))
            return GaussianBlur(size, (long, short), uniform(generator, (0.0, math.pi)))
        sigma = uniform(generator, (0.0, self.blur * (2 + 0.2 * rest)))
        return GaussianBlur(size, (sigma, sigma))

    def _noise(self, generator: torch.Generator) -> GaussianNoise:
        kind = choice(generator, ("colour", "gray", "correlated"), (0.4, 0.4, 0.2))
        correlated = uniform(generator, (0.0, 1.0))
        correlation = {"colour": 0.0, "gray": 1.0, "correlated": correlated}[kind]
        return GaussianNoise(uniform(generator, self.noise), draw_seed(generator), correlation)

    def _quality(self, generator: torch.Generator) -> Jpeg:
        return Jpeg(whole(generator, self.jpeg))


def _order(generator: torch.Generator) -> list[int]:
    """A random order of the seven steps in which the two shrinking steps 2 and 3 keep theirs."""
    order = torch.randperm(7, generator=generator).tolist()
    first, second = order.index(2), order.index(3)
    if first > second:
        order[first], order[second] = order[second], order[first]
    return order


def _first_shrink(
    generator: torch.Generator, size: tuple[int, int], *, scale: int, rest: float
) -> list[Operation]:
    """To a random size between the full one and half the final one, or a blur and a plain decimation."""
    if chance(generator, 0.75):
        return [_resize(generator, size, rest / scale / uniform(generator, (1.0, 2 * rest)))]
    sigma = uniform(generator, (0.1, max(0.1, 0.6 * rest)))
    height, width = (max(1, round(side / scale)) for side in size)
    return [GaussianBlur(25, (sigma, sigma)), Resize(height, width, "bilinear")]


def _resize(generator: torch.Generator, size: tuple[int, int], factor: float) -> Resize:
    height, width = (max(1, round(side * factor)) for side in size)
    return Resize(height, width, choice(generator, METHODS))


def _sensor_noise(generator: torch.Generator) -> SensorNoise:
    shot = 10 ** uniform(generator, (-4.0, -2.0))
    read = math.sqrt(shot) * uniform(generator, (0.02, 0.1))
    grain, correlation = uniform(generator, (0.3, 0.8)), uniform(generator, (0.0, 0.6))
    return SensorNoise(shot, read, grain, correlation, draw_seed(generator))


BSRGAN = Shuffled()
