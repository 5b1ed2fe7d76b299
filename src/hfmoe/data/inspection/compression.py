"""JPEG damage of decoded pixels: the quantisation steps that the block DCT still shows, and their quality.

The luma coefficients of a decoded JPEG lie near multiples of a step; the mean of cos(2 pi c / step) is then
near 1 and else near 0 (after Fan and de Queiroz, "Identification of bitmap compression history", 2003).
"""

from typing import NamedTuple

import numpy as np
from einops import rearrange
from jaxtyping import Float, Int

FREQUENCIES = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (1, 2), (2, 1), (2, 2))
"""The DCT coefficients that are read, as (row, column)."""

TABLE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)
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
    """What compression left: libjpeg's quality, where its grid begins (row, column), how clear it is."""

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
    """Give libjpeg's quality (1 to 100) whose luma table is nearest to a file's."""
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
