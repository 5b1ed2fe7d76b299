"""Whether an image was enlarged before: interpolation leaves differences that repeat along rows and columns.

After Gallagher, "Detection of linear and cubic interpolation in JPEG compressed images", 2005. Smooth and
defocused photos have no such rhythm, which a missing high band alone would not tell from enlarged ones.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.lib.stride_tricks import sliding_window_view

BINS = 1024
SLOWEST = 0.12
"""Rhythms slower than this many cycles a pixel belong to what the photo shows."""

_BLOCKS = (1 / 8, 3 / 8)
_NEAR = 3
_BLOCKY = 4.0
_TREND = 9
_SURROUND = 97
_LEAST_SIDE = 32


class Rhythm(NamedTuple):
    """The strongest rhythm of the differences: cycles a pixel, and strength in medians of the spectrum."""

    frequency: float
    strength: float


def find_rhythm(luma: Float[np.ndarray, "h w"]) -> Rhythm:
    """Find the rhythm that rows and columns of a luma in [0, 255] share, JPEG's of 8 pixels set aside.

    Natural photos stay near 3 to 8, enlarged ones lie between 10 and 500. Images with a side below 32 pixels
    have no measurable rhythm: strength 0.
    """
    if min(luma.shape) < _LEAST_SIDE:
        return Rhythm(0.0, 0.0)
    frequencies = np.arange(BINS // 2 + 1) / BINS
    spectra = [_shared(luma, order) for order in (1, 2)]
    strength = np.maximum(*spectra)
    blocks = max(_around(strength, place) for place in _BLOCKS)
    if blocks > _BLOCKY:
        for place in (*_BLOCKS, 1 / 4, 1 / 2):
            strength[abs(frequencies - place) * BINS <= _NEAR] -= 1.25 * blocks
    strength[frequencies <= SLOWEST] = 0
    best = int(strength.argmax())
    return Rhythm(float(frequencies[best]), float(strength[best]))


def scales_of(rhythm: Rhythm) -> tuple[float, ...]:
    """List the enlargements that make such a rhythm, the smallest first: 1/3 comes from x1.5 and from x3."""
    return tuple(sorted({round(1 / (1 - rhythm.frequency), 2), round(1 / rhythm.frequency, 2)}))


def _shared(luma: Float[np.ndarray, "h w"], order: int) -> Float[np.ndarray, " n"]:
    """Spectrum that both axes have, in units of the median around each frequency."""
    both = np.sqrt(_spectrum(luma, order) * _spectrum(luma.T, order))
    around = sliding_window_view(np.pad(both, _SURROUND // 2, mode="reflect"), _SURROUND)
    return both / np.maximum(np.median(around, axis=-1), 1e-6)


def _spectrum(luma: Float[np.ndarray, "h w"], order: int) -> Float[np.ndarray, " n"]:
    """Spectrum of the mean log size of the differences along rows, without its slow part."""
    size = np.log(np.abs(np.diff(luma, n=order, axis=1)) + 2).mean(axis=0)
    padded = np.pad(size, _TREND // 2, mode="edge")
    steady = size - np.convolve(padded, np.full(_TREND, 1 / _TREND), "valid")
    return np.abs(np.fft.rfft(steady * np.hanning(len(steady)), BINS)) / np.sqrt(len(steady))


def _around(strength: Float[np.ndarray, " n"], place: float) -> float:
    middle = round(place * BINS)
    return float(strength[middle - _NEAR : middle + _NEAR + 1].max())
