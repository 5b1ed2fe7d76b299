"""Two rounds of blur, resize, noise and JPEG, as Real-ESRGAN degrades photos.

Wang et al., "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic Data", 2021; the
numbers are those of its public training options for x4.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from hfmoe.data.degradations.blur import Blur, GaussianBlur, PlateauBlur, SincBlur
from hfmoe.data.degradations.jpeg import Jpeg, WebP
from hfmoe.data.degradations.noise import GaussianNoise, PoissonNoise
from hfmoe.data.degradations.resampling import Clamp, Method, Resize, Round
from hfmoe.data.degradations.sampling import Range, between, chance, choice, draw_seed, uniform, whole
from hfmoe.data.degradations.task import Operation

SHAPES = ("isotropic", "anisotropic", "generalised", "generalised", "plateau", "plateau")
EVEN = (True, False, True, False, True, False)
"""The six kernels that are drawn, and which of them are the same in every direction."""

RESIZES: tuple[Method, ...] = ("area", "bilinear", "bicubic")
KERNEL_SIZES = (7, 9, 11, 13, 15, 17, 19, 21)


@dataclass(frozen=True)
class OneRound:
    """Ranges of one round.

    blur: share of images that are blurred; sinc: share of those whose kernel rings. kernels: weights of
    SHAPES; sigma in pixels; generalised and plateau: ranges of their shapes. resize: weights of larger,
    smaller, same; factors: of either. gaussian: share of Gaussian noise, the others get Poisson noise;
    noise: sigma x 255; poisson: strength; gray: share of gray noise. jpeg: quality.
    """

    blur: float
    sigma: Range
    factors: Range
    resize: tuple[float, float, float]
    noise: Range
    poisson: Range
    sinc: float = 0.1
    kernels: tuple[float, ...] = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)
    generalised: Range = (0.5, 4.0)
    plateau: Range = (1.0, 2.0)
    gaussian: float = 0.5
    gray: float = 0.4
    jpeg: Range = (30.0, 95.0)

    def softened(self, strength: float) -> "OneRound":
        """Shrink every range toward its harmless end; 1 changes nothing, 0 leaves next to nothing."""
        return replace(
            self,
            sigma=between((self.sigma[0], self.sigma[0]), self.sigma, strength),
            factors=between((1.0, 1.0), self.factors, strength),
            noise=between((self.noise[0], self.noise[0]), self.noise, strength),
            poisson=between((self.poisson[0], self.poisson[0]), self.poisson, strength),
            sinc=self.sinc * strength,
            jpeg=between((self.jpeg[1], self.jpeg[1]), self.jpeg, strength),
        )


@dataclass(frozen=True)
class TwoRounds:
    """A first round, for a share of images a second one, and at the end often a sinc filter.

    webp: share of files that are WebP instead of JPEG.
    """

    first: OneRound
    second: OneRound
    twice: float = 1.0
    final_sinc: float = 0.8
    webp: float = 0.0

    def softened(self, strength: float) -> "TwoRounds":
        """Shrink every range toward its harmless end; 1 changes nothing."""
        return replace(
            self,
            first=self.first.softened(strength),
            second=self.second.softened(strength),
            final_sinc=self.final_sinc * strength,
        )

    def draw(self, generator: torch.Generator, *, size: tuple[int, int], scale: int) -> list[Operation]:
        """Draw the operations for an image of `size`, whose result has 1/scale of its sides."""
        small = (size[0] // scale, size[1] // scale)
        operations = [*draw_round(self.first, generator, size=size)]
        if chance(generator, self.twice):
            operations += [draw_file(self.first, generator, webp=self.webp)]
            operations += draw_round(self.second, generator, size=small)
        file = draw_file(self.second, generator, webp=self.webp)
        fit = Resize(*small, choice(generator, RESIZES))
        ring = [*draw_final_sinc(generator, self.final_sinc), Clamp()]
        if chance(generator, 0.5):
            return [*operations, fit, *ring, file, Round()]
        return [*operations, file, fit, *ring, Round()]


def draw_round(ranges: OneRound, generator: torch.Generator, *, size: tuple[int, int]) -> list[Operation]:
    """Draw blur, a resize relative to `size`, and noise."""
    operations: list[Operation] = []
    if chance(generator, ranges.blur):
        operations.append(draw_blur(ranges, generator))
    change = choice(generator, ("larger", "smaller", "same"), ranges.resize)
    low, high = ranges.factors
    bounds = {"larger": (1.0, high), "smaller": (low, 1.0), "same": (1.0, 1.0)}[change]
    factor = uniform(generator, bounds)
    height, width = (max(1, round(side * factor)) for side in size)
    operations.append(Resize(height, width, choice(generator, RESIZES)))
    gray = chance(generator, ranges.gray)
    if chance(generator, ranges.gaussian):
        sigma = uniform(generator, ranges.noise)
        operations.append(GaussianNoise(sigma, draw_seed(generator), correlation=float(gray)))
    else:
        operations.append(PoissonNoise(uniform(generator, ranges.poisson), draw_seed(generator), gray=gray))
    return [*operations, Clamp()]


def draw_blur(ranges: OneRound, generator: torch.Generator) -> Blur:
    """Draw one of the kernels; that of the sinc filter is cut off between pi/5 or pi/3 and pi."""
    size = choice(generator, KERNEL_SIZES)
    if chance(generator, ranges.sinc):
        return SincBlur(size, uniform(generator, (math.pi / (3 if size < 13 else 5), math.pi)))
    number = choice(generator, range(len(SHAPES)), ranges.kernels)
    first = uniform(generator, ranges.sigma)
    sigma = (first, first if EVEN[number] else uniform(generator, ranges.sigma))
    angle = 0.0 if EVEN[number] else uniform(generator, (-math.pi, math.pi))
    if SHAPES[number] == "plateau":
        return PlateauBlur(size, sigma, angle, _either_side_of_one(generator, ranges.plateau))
    general = SHAPES[number] == "generalised"
    shape = _either_side_of_one(generator, ranges.generalised) if general else 1.0
    return GaussianBlur(size, sigma, angle, shape)


def draw_final_sinc(generator: torch.Generator, share: float) -> list[Operation]:
    """Draw the ringing of a last resampling, for a share of images."""
    if not chance(generator, share):
        return []
    return [SincBlur(choice(generator, KERNEL_SIZES), uniform(generator, (math.pi / 3, math.pi)))]


def draw_file(ranges: OneRound, generator: torch.Generator, *, webp: float) -> Jpeg | WebP:
    """Draw the format and quality of a file."""
    quality = whole(generator, ranges.jpeg)
    return WebP(quality) if chance(generator, webp) else Jpeg(quality)


def _either_side_of_one(generator: torch.Generator, bounds: Sequence[float]) -> float:
    below = chance(generator, 0.5)
    return uniform(generator, (bounds[0], 1.0) if below else (1.0, bounds[1]))


REAL_ESRGAN = TwoRounds(
    first=OneRound(
        blur=1.0,
        sigma=(0.2, 3.0),
        factors=(0.15, 1.5),
        resize=(0.2, 0.7, 0.1),
        noise=(1.0, 30.0),
        poisson=(0.05, 3.0),
    ),
    second=OneRound(
        blur=0.8,
        sigma=(0.2, 1.5),
        factors=(0.3, 1.2),
        resize=(0.3, 0.4, 0.3),
        noise=(1.0, 25.0),
        poisson=(0.05, 2.5),
    ),
)
