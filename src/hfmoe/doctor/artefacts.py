"""Traces of earlier processing in decoded pixels: enlargement, JPEG compression and noise.

Enlargement: interpolation leaves differences that repeat along rows and columns (Gallagher, "Detection of
linear and cubic interpolation in JPEG compressed images", 2005). Smooth and defocused photos have no such
rhythm, which a missing high band alone would not tell from enlarged ones.
Compression: the luma coefficients of a decoded JPEG lie near multiples of a step; the mean of
cos(2 pi c / step) is then near 1 and else near 0 (Fan and de Queiroz, "Identification of bitmap compression
history", 2003).
"""

from typing import NamedTuple

import numpy as np
from einops import rearrange
from jaxtyping import Float, Int
from numpy.lib.stride_tricks import sliding_window_view

from hfmoe.data.degradations.jpeg import LUMA

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


FREQUENCIES = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (1, 2), (2, 1), (2, 2))
"""The DCT coefficients that are read, as (row, column)."""

TABLE = np.array(LUMA)
"""Luma steps of ITU-T T.81, annex K, which libjpeg calls quality 50."""

STEPS = np.arange(3, 121)
_CLEAR = 0.5
_LEAST_COUNT = 24
_LEAST_BLOCKS = 16
_LEAST_CLEAR = 3
_SLACK = 0.15
_FINE = 4
_REACH = 512 * _FINE
"""Coefficients are counted in bins of 1/4, up to 512; the few beyond are left out."""


class Quantised(NamedTuple):
    """Traces of JPEG: libjpeg's quality, where its grid begins (row, column), how clear it is."""

    quality: int
    offset: tuple[int, int]
    clearness: float


def find_quantisation(luma: Float[np.ndarray, "h w"]) -> Quantised | None:
    """Estimate the quality of the JPEG that a luma in [0, 255] was last stored as; None where none shows.

    Steps below 3 drown in the rounding to 8 bits, so qualities above about 92 are not seen. The grid may
    begin anywhere, as in a cropped picture.
    """
    if min(luma.shape) < 24:
        return None
    found = _at(luma, (0, 0))
    if found is None:
        found = _at(luma, _likeliest_offset(luma))
    return found


def quality_of(table: Int[np.ndarray, "8 8"]) -> int:
    """Return libjpeg's quality (1 to 100) whose luma table is nearest to a file's."""
    percent = float(np.median(100.0 * table / TABLE))
    return _quality(percent)


def _at(luma: Float[np.ndarray, "h w"], offset: tuple[int, int]) -> Quantised | None:
    coefficients = _coefficients(luma, offset)
    if coefficients.shape[1] < _LEAST_BLOCKS:
        return None
    percents, clear = [], []
    for (row, column), values in zip(FREQUENCIES, coefficients, strict=True):
        step, clearness = _step(values)
        if step:
            percents.append(100.0 * step / TABLE[row, column])
            clear.append(clearness)
    if len(percents) < _LEAST_CLEAR:
        return None
    return Quantised(_quality(float(np.median(percents))), offset, float(np.mean(clear)))


def _step(values: Float[np.ndarray, " blocks"]) -> tuple[int, float]:
    """Largest step whose multiples the values keep to, and how closely; step 0 where there is none."""
    bins = np.minimum(np.rint(np.abs(values) * _FINE).astype(np.int64), _REACH)
    counts = np.bincount(bins, minlength=_REACH + 1)[:_REACH].astype(np.float32)
    moved = _MOVED @ counts
    combs = np.where(moved >= _LEAST_COUNT, (_COMBS @ counts) / np.maximum(moved, 1), 0)
    clear = np.flatnonzero((combs > _CLEAR) & (combs > combs.max() - _SLACK))
    return (int(STEPS[clear[-1]]), float(combs[clear[-1]])) if len(clear) else (0, 0.0)


def _likeliest_offset(luma: Float[np.ndarray, "h w"]) -> tuple[int, int]:
    """The corner of the 8 x 8 grid across which neighbours differ most, next to the pixels around it."""
    return (_jump(luma), _jump(luma.T))


def _jump(luma: Float[np.ndarray, "h w"]) -> int:
    """Row that begins a block: the bend across its edge is larger than those inside."""
    bend = np.abs(luma[3:] - 3 * luma[2:-1] + 3 * luma[1:-2] - luma[:-3])
    profile = np.minimum(bend, 16).mean(axis=1)
    usable = len(profile) // 8 * 8
    phases = rearrange(profile[:usable], "(n phase) -> n phase", phase=8).mean(axis=0)
    return int(phases.argmax() + 2) % 8


def _coefficients(luma: Float[np.ndarray, "h w"], offset: tuple[int, int]) -> Float[np.ndarray, "_ blocks"]:
    top, left = offset
    inner = luma[top:, left:]
    height, width = (side // 8 * 8 for side in inner.shape)
    blocks = rearrange(inner[:height, :width], "(y row) (x column) -> (y x) (row column)", row=8, column=8)
    return (blocks @ _BASIS).T


def _quality(percent: float) -> int:
    """Invert libjpeg's scaling of its table."""
    quality = 5000 / percent if percent > 100 else (200 - percent) / 2
    return int(np.clip(round(quality), 1, 100))


def _basis() -> Float[np.ndarray, "64 _"]:
    """Orthonormal 8 x 8 DCT-II, a column for each of FREQUENCIES."""
    place = np.arange(8)
    wave = np.cos(np.pi * (2 * place[None] + 1) * place[:, None] / 16) * 0.5
    wave[0] /= np.sqrt(2)
    return np.stack([np.outer(wave[row], wave[column]).ravel() for row, column in FREQUENCIES], axis=1)


def _teeth() -> tuple[Float[np.ndarray, "steps bins"], Float[np.ndarray, "steps bins"]]:
    """For each step, which bins lie above half of it, and the comb of its multiples there."""
    size = np.arange(_REACH) / _FINE
    moved = (size[None] > STEPS[:, None] / 2).astype(np.float32)
    return moved, moved * np.cos(2 * np.pi * size[None] / STEPS[:, None]).astype(np.float32)


_BASIS = _basis()
_MOVED, _COMBS = _teeth()


BLOCK = 8
_CALM = 0.1
_DARK, _BRIGHT = 6.0, 249.0


def estimate_noise(luma: Float[np.ndarray, "h w"]) -> float:
    """Estimate the standard deviation of white noise in a luma in [0, 255], in levels.

    Diagonal differences of 2 x 2 pixels, in the calmest tenth of 8 x 8 blocks that are neither black nor
    white; 0 for images with too few blocks.
    """
    height, width = (side // 2 * 2 for side in luma.shape)
    quads = rearrange(luma[:height, :width], "(y a) (x b) -> a b y x", a=2, b=2)
    diagonal = (quads[0, 0] - quads[0, 1] - quads[1, 0] + quads[1, 1]) / 2
    power, level = _blocks(diagonal**2), _blocks(quads.mean(axis=(0, 1)))
    power = power[(level > _DARK) & (level < _BRIGHT)]
    if len(power) < _LEAST_BLOCKS:
        return 0.0
    return float(np.sqrt(np.quantile(power, _CALM)) * 1.1)


def _blocks(values: Float[np.ndarray, "h w"]) -> Float[np.ndarray, " n"]:
    height, width = (side // BLOCK * BLOCK for side in values.shape)
    blocks = rearrange(values[:height, :width], "(y a) (x b) -> (y x) (a b)", a=BLOCK, b=BLOCK)
    return blocks.mean(axis=1)
