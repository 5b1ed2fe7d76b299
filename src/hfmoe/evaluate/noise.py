"""Gaussian noise that is the same for an image wherever, whenever and in whatever order it is drawn."""

import hashlib
import math

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor


def noise_for(levels: UInt8[Tensor, "c h w"], *, seed: int) -> Float[Tensor, "c h w"]:
    """Standard normal noise for an 8-bit image, drawn from the seed and what the image holds.

    Neither the file's name, nor its place in the folder, nor torch's or numpy's version counts.
    """
    return standard_normal(tuple(levels.shape), entropy=entropy_of(levels, seed=seed))


def entropy_of(levels: UInt8[Tensor, "c h w"], *, seed: int) -> tuple[int, int]:
    """What is drawn for an 8-bit image follows from this: the seed and a digest of shape and samples."""
    content = hashlib.sha256(str(tuple(levels.shape)).encode() + levels.contiguous().numpy().tobytes())
    return seed, int.from_bytes(content.digest()[:16], "big")


def standard_normal(shape: tuple[int, ...], *, entropy: tuple[int, ...]) -> Float[Tensor, "*shape"]:
    """Float64 normal numbers by Box and Muller (1958) from the bits of PCG64.

    numpy promises that the bits of a bit generator never change; of its normal numbers it does not.
    """
    count = math.prod(shape)
    half = (count + 1) // 2
    uniform = uniforms(2 * half, entropy=entropy)
    radius, angle = np.sqrt(-2 * np.log(uniform[:half])), 2 * np.pi * uniform[half:]
    normal = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])
    return torch.from_numpy(normal[:count].reshape(shape))


def uniforms(count: int, *, entropy: tuple[int, ...]) -> Float[np.ndarray, " n"]:
    """Float64 numbers in (0, 1) from the bits of PCG64."""
    bits = np.asarray(np.random.PCG64(np.random.SeedSequence(entropy)).random_raw(count))
    return ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
