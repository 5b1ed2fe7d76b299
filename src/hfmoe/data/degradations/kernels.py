"""Blur kernels as square arrays of odd side that sum to 1, rows first, and convolution by FFT."""

import math
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

Kernel = Float[np.ndarray, "k k"]

_FINE = 8
"""Points a pixel along each side by which a disk or a path is sampled."""


def gaussian(size: int, *, sigma: tuple[float, float], angle: float = 0.0, shape: float = 1.0) -> Kernel:
    """Generalised Gaussian exp(-q^shape / 2) of the squared distance q in units of `sigma` pixels.

    sigma: along the two axes, the first turned by `angle` radians from the horizontal; 0 gives a single
    pixel. shape: 1 is the Gaussian, below 1 sharper with longer tails, above 1 flatter (Liu et al.,
    "Estimating generalized Gaussian blur kernels for out-of-focus image deblurring", 2020).
    """
    return _normalised(np.exp(-0.5 * _distance(size, sigma, angle) ** shape))


def plateau(size: int, *, sigma: tuple[float, float], angle: float = 0.0, shape: float = 1.0) -> Kernel:
    """1 / (1 + q^shape) of the squared distance q as in `gaussian`: flat top, slow fall."""
    return _normalised(1 / (1 + _distance(size, sigma, angle) ** shape))


def sinc(size: int, *, cutoff: float) -> Kernel:
    """Ideal circular low-pass of `cutoff` radians a pixel in (0, pi], which rings: w J1(w r) / (2 pi r)."""
    if not 0 < cutoff <= math.pi:
        raise ValueError(f"cutoff {cutoff} must be in (0, pi]")
    y, x = _offsets(size)
    radius = np.hypot(y, x)
    inner = radius == 0
    safe = np.where(inner, 1.0, radius)
    bessel = torch.special.bessel_j1(torch.from_numpy(cutoff * safe)).numpy()
    values = np.where(inner, cutoff**2 / (4 * math.pi), cutoff * bessel / (2 * math.pi * safe))
    return values / values.sum()


def motion(size: int, *, length: float, angle: float, bend: float = 0.0) -> Kernel:
    """The path of a camera that moves `length` pixels at `angle` radians while the shutter is open.

    bend: sideways deviation in the middle of the path as a share of its length.
    """
    count = max(1, math.ceil(length * _FINE)) | 1
    along = np.linspace(-0.5, 0.5, count) if count > 1 else np.zeros(1)
    across = bend * (0.25 - along**2) * 4
    across = across - across.mean()
    x = length * (along * math.cos(angle) - across * math.sin(angle)) + size // 2
    y = length * (along * math.sin(angle) + across * math.cos(angle)) + size // 2
    kernel = np.zeros((size, size))
    for row, column, weight in _bilinear(y, x):
        inside = (row >= 0) & (row < size) & (column >= 0) & (column < size)
        np.add.at(kernel, (row[inside], column[inside]), weight[inside])
    return _normalised(kernel)


def defocus(size: int, *, radius: float) -> Kernel:
    """Disk of `radius` pixels, its rim smoothed by counting finer points."""
    if radius <= 0:
        return gaussian(size, sigma=(0.0, 0.0))
    fine = (np.arange(size * _FINE) + 0.5) / _FINE - size / 2
    inside = np.hypot(fine[:, None], fine[None]) <= max(radius, 1 / _FINE)
    return _normalised(inside.reshape(size, _FINE, size, _FINE).mean(axis=(1, 3)))


def convolved(image: Float[Tensor, "c h w"], kernel: Float[np.ndarray, "k k"]) -> Float[Tensor, "c h w"]:
    """Convolve each channel, the image mirrored at its borders (border pixels repeated).

    By FFT: a 21 x 21 kernel on 3 x 160 x 160 takes 0.5 ms on one core where direct convolution takes 2 to 5.
    """
    half = kernel.shape[0] // 2
    if half == 0 or kernel[half, half] > 1 - 1e-9:
        return image
    height, width = image.shape[-2:]
    rows, columns = (mirrored(length, half, device=image.device) for length in (height, width))
    wide = image.index_select(-2, rows).index_select(-1, columns)
    sides = (quick_length(wide.shape[-2]), quick_length(wide.shape[-1]))
    taps = torch.from_numpy(kernel).to(wide)
    spectrum = torch.fft.rfft2(wide, s=sides) * torch.fft.rfft2(taps, s=sides)
    result = torch.fft.irfft2(spectrum, s=sides)
    return result[..., 2 * half : 2 * half + height, 2 * half : 2 * half + width].contiguous()


def mirrored(length: int, margin: int, *, device: torch.device | None = None) -> Tensor:
    """Positions of 0..length - 1 with `margin` more on either side, mirrored as often as needed."""
    around = torch.arange(-margin, length + margin, device=device).remainder(2 * length)
    return torch.minimum(around, 2 * length - 1 - around)


@lru_cache(maxsize=1024)
def quick_length(length: int) -> int:
    """Return the least even number of at least `length` with no prime factor above 5: quick to transform."""
    candidate = length + length % 2
    while not _smooth(candidate):
        candidate += 2
    return candidate


def _smooth(number: int) -> bool:
    for factor in (2, 3, 5):
        while number % factor == 0:
            number //= factor
    return number == 1


def _offsets(size: int) -> tuple[np.ndarray, np.ndarray]:
    if size < 1 or size % 2 == 0:
        raise ValueError(f"kernel size {size} must be odd and at least 1")
    places = np.arange(size, dtype=np.float64) - size // 2
    return places[:, None], places[None]


def _distance(size: int, sigma: tuple[float, float], angle: float) -> np.ndarray:
    y, x = _offsets(size)
    long, short = (max(value, 0.02) for value in sigma)
    along = (x * math.cos(angle) + y * math.sin(angle)) / long
    across = (y * math.cos(angle) - x * math.sin(angle)) / short
    return along**2 + across**2


def _bilinear(y: np.ndarray, x: np.ndarray) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    down, right = y - top, x - left
    return [
        (top, left, (1 - down) * (1 - right)),
        (top, left + 1, (1 - down) * right),
        (top + 1, left, down * (1 - right)),
        (top + 1, left + 1, down * right),
    ]


def _normalised(kernel: np.ndarray) -> Kernel:
    return kernel / kernel.sum()
