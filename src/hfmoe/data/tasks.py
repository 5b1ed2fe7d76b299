"""Tasks: how clean photos are degraded to learn from, as plain ranges at one moment of a run."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, runtime_checkable

import torch

from hfmoe.data.degradations.blur import DefocusBlur, GaussianBlur, MotionBlur
from hfmoe.data.degradations.drawing import Range, chance, choice, seed, uniform, whole
from hfmoe.data.degradations.jpeg import Jpeg
from hfmoe.data.degradations.mosaic import MosaicNoise
from hfmoe.data.degradations.noise import GaussianNoise, SensorNoise
from hfmoe.data.degradations.operations import Blur, Operation
from hfmoe.data.degradations.resampling import Resize
from hfmoe.data.degradations.rounding import Round
from hfmoe.data.degradations.shuffled import Shuffled
from hfmoe.data.degradations.two_rounds import TwoRounds
from hfmoe.data.degradations.webp import WebP

BlurKind = Literal["gaussian", "motion", "defocus"]


@runtime_checkable
class Task(Protocol):
    """What a mixture needs of a task.

    kind: its name in recipes and logs. shrinks: whether it starts from the full-sized photo and shrinks by
    itself, not from the shrunk one. margin: source pixels around a crop that its neighbourhoods reach.
    jitters: whether blocks of 8 x 8 must be able to begin anywhere in a crop.
    """

    kind: ClassVar[str]
    shrinks: ClassVar[bool]
    margin: ClassVar[int]
    jitters: ClassVar[bool]

    def draw(self, generator: torch.Generator, *, size: tuple[int, int], scale: int) -> list[Operation]:
        """Draw the operations for a source of `size`; where it shrinks, the result has 1/scale of it."""
        ...


@dataclass(frozen=True)
class SuperResolution:
    """Classical super-resolution: the shrunk photo as it is."""

    kind: ClassVar[str] = "sr"
    shrinks: ClassVar[bool] = False
    margin: ClassVar[int] = 0
    jitters: ClassVar[bool] = False

    def draw(self, generator: torch.Generator, *, size: tuple[int, int], scale: int) -> list[Operation]:
        """Nothing is to be done."""
        return []


@dataclass(frozen=True)
class Denoise:
    """Noise of a standard deviation drawn from `sigma` (of 255).

    gray: share of images with gray noise; sensor: share with sensor noise of about that strength instead;
    rounded: share that is rounded and clamped to 8 bits, as files are and the papers' benchmarks are not.
    """

    kind: ClassVar[str] = "denoise"
    shrinks: ClassVar[bool] = False
    margin: ClassVar[int] = 0
    jitters: ClassVar[bool] = False
    sigma: Range
    gray: float = 0.0
    sensor: float = 0.0
    rounded: float = 0.0

    def draw(self, generator: torch.Generator, *, size: tuple[int, int], scale: int) -> list[Operation]:
        """Draw noise, and whether it is rounded."""
        sigma = uniform(generator, self.sigma)
        if chance(generator, self.sensor):
            noise = sensor_noise(generator, sigma)
        else:
            correlation = float(chance(generator, self.gray))
            noise = GaussianNoise(sigma, seed(generator), correlation)
        return [noise, Round()] if chance(generator, self.rounded) else [noise]


@dataclass(frozen=True)
class Deblur:
    """Blur of one of `kinds`, then a little noise, rounded to 8 bits.

    sigma: of Gaussian kernels along both axes; length: of motion; radius: of defocus; all in source pixels.
    noise: standard deviation of 255.
    """

    kind: ClassVar[str] = "deblur"
    shrinks: ClassVar[bool] = True
    margin: ClassVar[int] = 16
    jitters: ClassVar[bool] = False
    kinds: tuple[BlurKind, ...]
    sigma: Range
    length: Range
    radius: Range
    noise: Range

    def draw(self, generator: torch.Generator, *, size: tuple[int, int], scale: int) -> list[Operation]:
        """Draw blur, the shrinking of the papers, noise."""
        operations: list[Operation] = [self.draw_blur(generator)]
        if scale > 1:
            operations.append(Resize(size[0] // scale, size[1] // scale, "matlab"))
        noise = GaussianNoise(uniform(generator, self.noise), seed(generator))
        return [*operations, noise, Round()]

    def draw_blur(self, generator: torch.Generator) -> Blur:
        """Draw a kernel that its square holds whole."""
        kind = choice(generator, self.kinds)
        angle = uniform(generator, (0.0, math.pi))
        if kind == "motion":
            length, bend = uniform(generator, self.length), uniform(generator, (-0.3, 0.3))
            return MotionBlur(odd(length + 2), length, angle, bend)
        if kind == "defocus":
            radius = uniform(generator, self.radius)
            return DefocusBlur(odd(2 * radius + 1), radius)
        sigma = (uniform(generator, self.sigma), uniform(generator, self.sigma))
        return GaussianBlur(odd(6 * max(sigma) + 1), sigma, angle)


@dataclass(frozen=True)
class Compressed:
    """JPEG of a drawn `quality`; subsampling: share with 4:2:0; webp: share that is WebP instead."""

    kind: ClassVar[str] = "jpeg"
    shrinks: ClassVar[bool] = False
    margin: ClassVar[int] = 8
    jitters: ClassVar[bool] = True
    quality: Range
    subsampling: float = 0.5
    webp: float = 0.0

    def draw(self, generator: torch.Generator, *, size: tuple[int, int], scale: int) -> list[Operation]:
        """Draw the file that the image is saved as."""
        quality, subsampling = whole(generator, self.quality), chance(generator, self.subsampling)
        return [WebP(quality) if chance(generator, self.webp) else Jpeg(quality, subsampling)]


@dataclass(frozen=True)
class Camera:
    """A photo in little light, as the camera saves it: its sensor's noise, developed, then JPEG.

    sigma: about the standard deviation of 255 that the noise has on middle gray. quality: of the file;
    subsampling: share with 4:2:0.
    """

    kind: ClassVar[str] = "camera"
    shrinks: ClassVar[bool] = False
    margin: ClassVar[int] = 8
    jitters: ClassVar[bool] = True
    sigma: Range
    quality: Range
    subsampling: float = 0.5

    def draw(self, generator: torch.Generator, *, size: tuple[int, int], scale: int) -> list[Operation]:
        """Draw the camera, its noise and its file."""
        noise = mosaic_noise(generator, uniform(generator, self.sigma))
        return [noise, Jpeg(whole(generator, self.quality), chance(generator, self.subsampling))]


@dataclass(frozen=True)
class Photo:
    """Everything that happens to photos on their way, by one of the chains of degradations."""

    kind: ClassVar[str] = "photo"
    shrinks: ClassVar[bool] = True
    margin: ClassVar[int] = 12
    jitters: ClassVar[bool] = True
    chain: TwoRounds | Shuffled

    def draw(self, generator: torch.Generator, *, size: tuple[int, int], scale: int) -> list[Operation]:
        """Draw the chain's operations."""
        return self.chain.draw(generator, size=size, scale=scale)


@dataclass(frozen=True)
class Softness:
    """How soft photos are without any damage: a share of them is blurred first, and the target with them.

    A network that only ever sees sharp targets sharpens the pixels of every camera. sigma: standard deviation
    of the Gaussian in pixels of the target.
    """

    share: float
    sigma: Range

    def draw(self, generator: torch.Generator) -> float:
        """Draw a standard deviation; 0 for a photo that stays as it is."""
        return uniform(generator, self.sigma) if chance(generator, self.share) else 0.0


@dataclass(frozen=True)
class Mixture:
    """Tasks at one moment of a run, the weights by which samples fall to them, and how soft photos are."""

    tasks: tuple[Task, ...]
    weights: tuple[float, ...]
    softness: Softness | None = None

    def draw(self, generator: torch.Generator) -> Task:
        """Draw the task of one sample."""
        return choice(generator, self.tasks, self.weights)


def odd(length: float) -> int:
    """Give the least odd number of at least `length`, no more than 31."""
    return min(31, math.ceil(length) | 1)


def sensor_noise(generator: torch.Generator, sigma: float) -> SensorNoise:
    """Draw sensor noise that is about as strong as Gaussian noise of `sigma` / 255 on middle gray."""
    shot, read = shot_and_read(generator, sigma)
    grain, correlation = uniform(generator, (0.3, 0.8)), uniform(generator, (0.0, 0.6))
    return SensorNoise(shot, read, grain, correlation, seed(generator))


def mosaic_noise(generator: torch.Generator, sigma: float) -> MosaicNoise:
    """Draw a camera, and noise of it about as strong as Gaussian noise of `sigma` / 255 on middle gray.

    The ranges are those of common cameras from daylight to lamp light; chroma is smoothed more than luma, as
    their own noise reduction does.
    """
    shot, read = shot_and_read(generator, sigma)
    balance = (uniform(generator, (1.2, 2.4)), uniform(generator, (1.2, 2.4)))
    saturation, luma = uniform(generator, (0.2, 1.0)), uniform(generator, (0.0, 0.8))
    smoothing = (luma, luma + uniform(generator, (0.0, 2.0)))
    phase = (int(chance(generator, 0.5)), int(chance(generator, 0.5)))
    return MosaicNoise(shot, read, balance, saturation, smoothing, phase, seed(generator))


def shot_and_read(generator: torch.Generator, sigma: float) -> tuple[float, float]:
    """Draw the parts of a sensor's noise in linear light, together about `sigma` / 255 on middle gray."""
    shot = 4 * (sigma / 255) ** 2 * uniform(generator, (0.5, 1.5))
    return shot, sigma / 255 * uniform(generator, (0.02, 0.1))
