"""Blurs, each with the numbers of its kernel, and the task of removing them."""

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from hfmoe.data.degradations import kernels
from hfmoe.data.degradations.noise import GaussianNoise
from hfmoe.data.degradations.resampling import Resize, Round
from hfmoe.data.degradations.sampling import choice, draw_seed, uniform
from hfmoe.data.degradations.task import Operation, Task
from hfmoe.data.fields import Ramped, fixed

BlurKind = Literal["gaussian", "motion", "defocus"]


@dataclass(frozen=True)
class GaussianBlur:
    """Isotropic, anisotropic or generalised Gaussian; see `kernels.gaussian`."""

    kind: ClassVar[str] = "gaussian_blur"
    size: int
    sigma: tuple[float, float]
    angle: float = 0.0
    shape: float = 1.0

    def __call__(self, image: Float[Tensor, "c h w"]) -> Float[Tensor, "c h w"]:
        """Blur an image."""
        kernel = kernels.gaussian(self.size, sigma=self.sigma, angle=self.angle, shape=self.shape)
        return kernels.convolved(image, kernel)


@dataclass(frozen=True)
class PlateauBlur:
    """Kernel with a flat top; see `kernels.plateau`."""

    kind: ClassVar[str] = "plateau_blur"
    size: int
    sigma: tuple[float, float]
    angle: float = 0.0
    shape: float = 1.0

    def __call__(self, image: Float[Tensor, "c h w"]) -> Float[Tensor, "c h w"]:
        """Blur an image."""
        kernel = kernels.plateau(self.size, sigma=self.sigma, angle=self.angle, shape=self.shape)
        return kernels.convolved(image, kernel)


@dataclass(frozen=True)
class SincBlur:
    """Sharp low-pass that leaves ringing and overshoot at edges; see `kernels.sinc`."""

    kind: ClassVar[str] = "sinc_blur"
    size: int
    cutoff: float

    def __call__(self, image: Float[Tensor, "c h w"]) -> Float[Tensor, "c h w"]:
        """Blur an image."""
        return kernels.convolved(image, kernels.sinc(self.size, cutoff=self.cutoff))


@dataclass(frozen=True)
class MotionBlur:
    """A moving camera; see `kernels.motion`."""

    kind: ClassVar[str] = "motion_blur"
    size: int
    length: float
    angle: float
    bend: float = 0.0

    def __call__(self, image: Float[Tensor, "c h w"]) -> Float[Tensor, "c h w"]:
        """Blur an image."""
        kernel = kernels.motion(self.size, length=self.length, angle=self.angle, bend=self.bend)
        return kernels.convolved(image, kernel)


@dataclass(frozen=True)
class DefocusBlur:
    """A lens out of focus; see `kernels.defocus`."""

    kind: ClassVar[str] = "defocus_blur"
    size: int
    radius: float

    def __call__(self, image: Float[Tensor, "c h w"]) -> Float[Tensor, "c h w"]:
        """Blur an image."""
        return kernels.convolved(image, kernels.defocus(self.size, radius=self.radius))


Blur = GaussianBlur | PlateauBlur | SincBlur | MotionBlur | DefocusBlur


class DeblurTask(Task):
    """Blur of one of `kinds`, shrinking, then a little noise, rounded to 8 bits.

    sigma: of Gaussian kernels along both axes; length: of motion; radius: of defocus; all in pixels of the
    target. noise: standard deviation of 255.
    """

    shrinks: ClassVar[bool] = True
    margin: ClassVar[int] = 16
    kind: Literal["deblur"] = "deblur"
    kinds: Annotated[tuple[BlurKind, ...], Field(min_length=1)] = ("gaussian", "motion", "defocus")
    sigma: Ramped = fixed(0.2, 3.0)
    length: Ramped = fixed(3.0, 15.0)
    radius: Ramped = fixed(0.5, 4.0)
    noise: Ramped = fixed(0.0, 2.0)

    def draw(
        self, generator: torch.Generator, *, size: tuple[int, int], scale: int, share: float = 1.0
    ) -> list[Operation]:
        """Draw blur, the shrinking of the papers, noise."""
        operations: list[Operation] = [self.draw_blur(generator, share=share)]
        if scale > 1:
            operations.append(Resize(size[0] // scale, size[1] // scale, "matlab"))
        noise = GaussianNoise(uniform(generator, self.noise.at(share)), draw_seed(generator))
        return [*operations, noise, Round()]

    def draw_blur(self, generator: torch.Generator, *, share: float = 1.0) -> Blur:
        """Draw a kernel that its square holds whole."""
        kind = choice(generator, self.kinds)
        angle = uniform(generator, (0.0, math.pi))
        if kind == "motion":
            length, bend = uniform(generator, self.length.at(share)), uniform(generator, (-0.3, 0.3))
            return MotionBlur(odd(length + 2), length, angle, bend)
        if kind == "defocus":
            radius = uniform(generator, self.radius.at(share))
            return DefocusBlur(odd(2 * radius + 1), radius)
        bounds = self.sigma.at(share)
        sigma = (uniform(generator, bounds), uniform(generator, bounds))
        return GaussianBlur(odd(6 * max(sigma) + 1), sigma, angle)


def odd(length: float) -> int:
    """Return the least odd number of at least `length`, no more than 31."""
    return min(31, math.ceil(length) | 1)
