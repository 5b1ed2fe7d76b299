"""Protocols that degrade clean images: Gaussian noise, JPEG, and blur, noise and JPEG together.

What is drawn for an image is the same wherever, whenever and in whatever order: it follows from a seed and
what the image holds.
"""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from hfmoe.data.degradations.blur import GaussianBlur
from hfmoe.evaluate.protocol import (
    CHANNELS,
    EvaluationProtocol,
    ImagePair,
    check_channels,
    check_scorable,
    in_unit,
    originals,
    read_levels,
)
from hfmoe.image.encoded import through_jpeg
from hfmoe.image.picture import quantise
from hfmoe.image.resize import resize

BLUR = (0.2, 1.0)
"""Standard deviation of the blur, in pixels of the degraded image."""
NOISE = (0.0, 20.0)
"""Standard deviation of the noise, in levels of 8 bits."""
QUALITY = (30, 95)
"""Quality of the JPEG."""


@dataclass(frozen=True)
class GaussianDenoising(EvaluationProtocol):
    """White Gaussian noise of standard deviation `sigma` / 255 on clean 8-bit images.

    As in the papers (DnCNN, FFDNet, DRUNet, SwinIR) the noisy image is neither rounded nor clamped: a
    restorer is given floats that leave [0, 1]. The noise of an image is fixed by `seed` and its content.
    `channels` 1: gray, of colour files their full-range BT.601 luma; 3: RGB, a gray file as three channels.
    Every pixel counts.
    """

    sigma: float
    channels: int = 3
    seed: int = 0

    def __post_init__(self):
        if not 0 < self.sigma <= 255:
            raise ValueError(f"sigma {self.sigma:g} must be in (0, 255]")
        check_channels(self.channels)

    @property
    def name(self) -> str:
        """Name and version, as reports carry it."""
        seed = f" seed {self.seed}" if self.seed else ""
        return f"{CHANNELS[self.channels]}-denoise-s{self.sigma:g} v1{seed}"

    def pairs(self, folder: Path) -> Iterator[ImagePair]:
        """Yield the folder's images with noise."""
        for name, levels in _clean(folder, self.channels):
            target = in_unit(levels)
            noise = noise_for(levels, seed=self.seed)[None].to(target)
            yield ImagePair(name, target + noise * (self.sigma / 255), target)


@dataclass(frozen=True)
class Deblocking(EvaluationProtocol):
    """JPEG of a fixed quality: libjpeg with the standard tables, colours at half resolution below 90.

    `channels` 1 is the convention of ARCNN, DnCNN and SwinIR: the gray image is encoded as a gray JPEG
    and PSNR is of its samples. Every pixel counts.
    """

    quality: int
    channels: int = 3

    def __post_init__(self):
        if not 1 <= self.quality <= 100:
            raise ValueError(f"quality {self.quality} must be in [1, 100]")
        check_channels(self.channels)

    @property
    def name(self) -> str:
        """Name and version, as reports carry it."""
        return f"{CHANNELS[self.channels]}-jpeg-q{self.quality} v1"

    def pairs(self, folder: Path) -> Iterator[ImagePair]:
        """Yield the folder's images, compressed."""
        for name, levels in _clean(folder, self.channels):
            yield ImagePair(name, in_unit(through_jpeg(levels, quality=self.quality)), in_unit(levels))


class Degradation(NamedTuple):
    """Degradation of one image: blur in pixels of the target (BLUR times the scale), noise, JPEG quality."""

    blur: float
    noise: float
    quality: int


@dataclass(frozen=True)
class PhotoRestoration(EvaluationProtocol):
    """Clean 8-bit images with blur, noise and JPEG together, each of a strength that differs by image.

    The target, cropped to a multiple of the scale, is blurred by an isotropic Gaussian, shrunk by MATLAB's
    bicubic, given white Gaussian noise, rounded to 8 bits and stored as JPEG (libjpeg, colours at half
    resolution below 90). Strengths are uniform in BLUR, NOISE and QUALITY; they and the noise are fixed by
    `seed` and what the image holds. Results are clamped and rounded, `scale` pixels on each side left out,
    none at scale 1. `channels` 1: gray, of colour files their full-range BT.601 luma; 3: RGB.
    """

    scale: int
    channels: int = 3
    seed: int = 0

    def __post_init__(self):
        if self.scale < 1:
            raise ValueError(f"scale {self.scale} must be at least 1")
        check_channels(self.channels)

    @property
    def name(self) -> str:
        """Name and version, as reports carry it."""
        seed = f" seed {self.seed}" if self.seed else ""
        return f"{CHANNELS[self.channels]}-photo-x{self.scale} v1{seed}"

    @property
    def border(self) -> int:
        """As many pixels as the scale; none at scale 1."""
        return 0 if self.scale == 1 else self.scale

    def pairs(self, folder: Path) -> Iterator[ImagePair]:
        """Yield the folder's images, degraded."""
        for path in originals(folder):
            levels = read_levels(path, self.channels)
            height, width = (side - side % self.scale for side in levels.shape[-2:])
            levels = levels[:, :height, :width]
            check_scorable(path, levels, border=self.border)
            yield ImagePair(path.name, in_unit(self._degraded(levels)), in_unit(levels))

    def _degraded(self, levels: UInt8[Tensor, "c H W"]) -> UInt8[Tensor, "c h w"]:
        drawn = degradation_for(levels, scale=self.scale, seed=self.seed)
        blur = GaussianBlur(2 * math.ceil(3 * drawn.blur) + 1, sigma=(drawn.blur, drawn.blur))
        image = blur(levels.float() / 255)[None]
        if self.scale > 1:
            image = resize(image, scale=Fraction(1, self.scale))
        noise = standard_normal(tuple(image.shape[1:]), entropy=entropy_of(levels, seed=self.seed))
        noisy = image[0] + noise.to(image) * (drawn.noise / 255)
        return through_jpeg(quantise(noisy).to(torch.uint8), quality=drawn.quality)


def degradation_for(levels: UInt8[Tensor, "c h w"], *, scale: int, seed: int) -> Degradation:
    """Return the strengths that an 8-bit image is given, drawn from the seed and what it holds."""
    draws = uniforms(3, entropy=(*entropy_of(levels, seed=seed), 1))
    bounds = zip((BLUR, NOISE, QUALITY), draws, strict=True)
    blur, noise, quality = (low + (high - low) * float(draw) for (low, high), draw in bounds)
    return Degradation(blur * scale, noise, round(quality))


def as_given(image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Return the baseline of scale 1: the degraded image itself."""
    return image


def noise_for(levels: UInt8[Tensor, "c h w"], *, seed: int) -> Float[Tensor, "c h w"]:
    """Return standard normal noise for an 8-bit image, drawn from the seed and what the image holds.

    Neither the file's name, nor its place in the folder, nor torch's or numpy's version counts.
    """
    return standard_normal(tuple(levels.shape), entropy=entropy_of(levels, seed=seed))


def entropy_of(levels: UInt8[Tensor, "c h w"], *, seed: int) -> tuple[int, int]:
    """Return what is drawn for an 8-bit image by: the seed and a digest of shape and samples."""
    content = hashlib.sha256(str(tuple(levels.shape)).encode() + levels.contiguous().numpy().tobytes())
    return seed, int.from_bytes(content.digest()[:16], "big")


def standard_normal(shape: tuple[int, ...], *, entropy: tuple[int, ...]) -> Float[Tensor, "*shape"]:
    """Return float64 normal numbers by Box and Muller (1958) from the bits of PCG64.

    numpy promises that the bits of a bit generator never change; of its normal numbers it does not.
    """
    count = math.prod(shape)
    half = (count + 1) // 2
    uniform = uniforms(2 * half, entropy=entropy)
    radius, angle = np.sqrt(-2 * np.log(uniform[:half])), 2 * np.pi * uniform[half:]
    normal = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])
    return torch.from_numpy(normal[:count].reshape(shape))


def uniforms(count: int, *, entropy: tuple[int, ...]) -> Float[np.ndarray, " n"]:
    """Return float64 numbers in (0, 1) from the bits of PCG64."""
    bits = np.asarray(np.random.PCG64(np.random.SeedSequence(entropy)).random_raw(count))
    return ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def _clean(folder: Path, channels: int) -> Iterator[tuple[str, UInt8[Tensor, "c h w"]]]:
    for path in originals(folder):
        levels = read_levels(path, channels)
        check_scorable(path, levels)
        yield path.name, levels
