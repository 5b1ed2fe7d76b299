"""How the two images of a pair lie to each other: shift, likeness and brightness."""

from fractions import Fraction
from typing import NamedTuple

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8

from hfmoe.data.inspection.likeness import small_copy
from hfmoe.data.inspection.sampling import corner, luma_of, middle
from hfmoe.image.resize import resize

WINDOW = 512
_FINE = 20
_LEAST_SIDE = 16
_HIGHEST = 0.3
_WHITENING = 0.7


class Fit(NamedTuple):
    """How a degraded image fits its target.

    `dx` and `dy` say by how many degraded pixels it lies to the right of and below where it belongs;
    `likeness` is the correlation of small copies, 1 where they are plain; `brightness` the largest
    difference of a channel's mean, in levels of 255.
    """

    dx: float
    dy: float
    likeness: float
    brightness: float


def fit_of(degraded: UInt8[np.ndarray, "h w c"], target: UInt8[np.ndarray, "H W k"], *, scale: int) -> Fit:
    """Compare a degraded image with its target of `scale` times its size, which is not checked here."""
    small, large = luma_of(degraded), luma_of(target)
    top, left = corner(small.shape, WINDOW)
    part = middle(small, WINDOW)
    height, width = part.shape
    wanted = large[top * scale : (top + height) * scale, left * scale : (left + width) * scale]
    shift = find_shift(part, _shrunk(wanted, scale))
    return Fit(*shift, _likeness(small, large), _brightness(degraded, target))


def find_shift(image: Float[np.ndarray, "h w"], reference: Float[np.ndarray, "h w"]) -> tuple[float, float]:
    """Find (dx, dy) by which an image is moved against a reference, to 1/20 pixel, by phase correlation.

    Frequencies above 0.3 cycles a pixel, where noise and aliases are, are left out; plain images, and those
    with a side below 16, give (0, 0).
    """
    if min(image.shape) < _LEAST_SIDE:
        return 0.0, 0.0
    taper = np.outer(*(np.hanning(side + 2)[1:-1] for side in image.shape))
    cross = np.fft.fft2((image - image.mean()) * taper)
    cross = cross * np.conj(np.fft.fft2((reference - reference.mean()) * taper))
    size = np.abs(cross)
    if size.max() < 1e-3 * image.size:
        return 0.0, 0.0
    rows, columns = (np.fft.fftfreq(side) for side in image.shape)
    low = np.hypot(rows[:, None], columns[None]) < _HIGHEST
    cross = np.where(low, cross / np.maximum(size, 1e-9 * size.max()) ** _WHITENING, 0)
    peak = np.real(np.fft.ifft2(cross))
    dy, dx = np.unravel_index(int(peak.argmax()), peak.shape)
    around = [
        _wrapped(int(place), side) + np.arange(-_FINE, _FINE + 1) / _FINE
        for place, side in zip((dy, dx), peak.shape, strict=True)
    ]
    left = np.exp(2j * np.pi * around[0][:, None] * rows[None])
    right = np.exp(2j * np.pi * columns[:, None] * around[1][None])
    fine = np.real(left @ cross @ right)
    y, x = np.unravel_index(int(fine.argmax()), fine.shape)
    return float(around[1][x]), float(around[0][y])


def _wrapped(place: int, side: int) -> int:
    return place - side if place > side // 2 else place


def _shrunk(luma: Float[np.ndarray, "h w"], scale: int) -> Float[np.ndarray, "_ _"]:
    if scale == 1:
        return luma
    return resize(torch.from_numpy(luma)[None], scale=Fraction(1, scale))[0].numpy()


def _likeness(degraded: Float[np.ndarray, "h w"], target: Float[np.ndarray, "H W"]) -> float:
    first, second = (small_copy(luma).astype(np.float64) for luma in (degraded, target))
    if min(first.std(), second.std()) < 1:
        return 1.0
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def _brightness(degraded: UInt8[np.ndarray, "h w c"], target: UInt8[np.ndarray, "H W k"]) -> float:
    if degraded.shape[-1] != target.shape[-1]:
        degraded, target = (luma_of(image)[..., None] for image in (degraded, target))
    means = (rearrange(image, "h w c -> (h w) c").mean(axis=0) for image in (degraded, target))
    return float(np.abs(np.subtract(*means)).max())
