"""Random numbers fixed by a seed and the content of an image: the same wherever, whenever and in any order.

Neither the file's name, nor its place in the folder, nor torch's or numpy's version counts.
"""

import hashlib
import math
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

BLUR = (0.2, 1.0)
"""Standard deviation of the blur, in pixels of the degraded image."""
NOISE = (0.0, 20.0)
"""Standard deviation of the noise, in levels of 8 bits."""
QUALITY = (30, 95)
"""Quality of the JPEG."""


class Degradation(NamedTuple):
    """Degradation of one image: deviations of the blur in pixels of the degraded image and of the noise in
    levels of 8 bits, and the quality of the JPEG (None: not encoded)."""

    blur: float = 0.0
    noise: float = 0.0
    quality: int | None = None


def degradation_for(levels: UInt8[Tensor, "c h w"], *, seed: int) -> Degradation:
    """Return strengths for an 8-bit image, uniform in BLUR, NOISE and QUALITY."""
    draws = _uniforms(3, entropy=(*_entropy(levels, seed=seed), 1))
    bounds = zip((BLUR, NOISE, QUALITY), draws, strict=True)
    blur, noise, quality = (low + (high - low) * float(draw) for (low, high), draw in bounds)
    return Degradation(blur, noise, round(quality))


def noise_for(
    levels: UInt8[Tensor, "c h w"], *, seed: int, shape: tuple[int, ...] | None = None
) -> Float[Tensor, "*shape"]:
    """Return standard normal noise for an 8-bit image, of its shape or another."""
    shape = tuple(levels.shape) if shape is None else shape
    return standard_normal(shape, entropy=_entropy(levels, seed=seed))


def standard_normal(shape: tuple[int, ...], *, entropy: tuple[int, ...]) -> Float[Tensor, "*shape"]:
    """Return float64 normal numbers by Box and Muller (1958) from the bits of PCG64.

    numpy promises that the bits of a bit generator never change; of its normal numbers it does not.
    """
    count = math.prod(shape)
    half = (count + 1) // 2
    uniform = _uniforms(2 * half, entropy=entropy)
    radius, angle = np.sqrt(-2 * np.log(uniform[:half])), 2 * np.pi * uniform[half:]
    normal = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])
    return torch.from_numpy(normal[:count].reshape(shape))


def _uniforms(count: int, *, entropy: tuple[int, ...]) -> Float[np.ndarray, " n"]:
    """Return float64 numbers in (0, 1) from the bits of PCG64."""
    bits = np.asarray(np.random.PCG64(np.random.SeedSequence(entropy)).random_raw(count))
    return ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def _entropy(levels: UInt8[Tensor, "c h w"], *, seed: int) -> tuple[int, int]:
    """Return the seed and a digest of the image's shape and samples."""
    content = hashlib.sha256(str(tuple(levels.shape)).encode() + levels.contiguous().numpy().tobytes())
    return seed, int.from_bytes(content.digest()[:16], "big")
