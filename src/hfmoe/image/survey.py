"""A first pass over an image that memory does not hold: what `read_picture` asks of the whole."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from hfmoe.image.picture import ImageError, Picture
from hfmoe.image.strips import Strips
from hfmoe.image.surroundings import STEP, coarse_rows, coarse_surroundings

ROWS = 16 * STEP
"""Rows of the image that are looked at together."""


class Survey(NamedTuple):
    """Extent of the colours, and, of an image with alpha, the visible colours around hidden ones."""

    low: float
    high: float
    around: Float[np.ndarray, "1 c y x"] | None

    def stand_in(self, strips: Strips) -> Picture:
        """A picture of two pixels with what the file says, to ask whether a format can hold it."""
        plain = strips.plain
        channels = strips.bands - plain.has_alpha
        colour = np.tile(np.array([self.low, self.high], np.float32), (channels, 1, 1))
        alpha = np.ones((1, 1, 2), np.float32) if plain.has_alpha else None
        return Picture(colour, alpha, plain.bits, plain.icc, plain.metadata)


def survey(strips: Strips) -> Survey:
    """Go once through an image of floats or with alpha. Raises ImageError for floats as `read_picture`."""
    low, high, outside, levels = float("inf"), float("-inf"), 0, []
    is_float, has_alpha = strips.plain.bits == 32, strips.plain.has_alpha
    for _ in range(0, strips.height, ROWS):
        values = strips.floats(strips.rows(ROWS))
        colour = values[:-1] if has_alpha else values
        if is_float:
            _check(strips, values, values[-1] if has_alpha else None)
            low, high = min(low, float(colour.min())), max(high, float(colour.max()))
            outside += int(((colour < 0) | (colour > 1)).sum())
        if has_alpha:
            within = colour.clip(0, 1) if is_float else colour
            levels.append(coarse_rows(within[None], values[None, -1:]))
    if outside > 0.5 * strips.height * strips.width * (strips.bands - has_alpha):
        extent = f"{low:g} to {high:g}"
        raise ImageError(
            f"{strips.path}: floats from {extent}, most of them outside [0, 1]; divide them first"
        )
    around = coarse_surroundings(levels) if has_alpha else None
    return Survey(low, high, around) if is_float else Survey(0.0, 1.0, around)


def needs_survey(strips: Strips) -> bool:
    """Whether anything of the whole image must be known before its first part."""
    return strips.plain.bits == 32 or strips.plain.has_alpha


def _check(strips: Strips, values: np.ndarray, alpha: np.ndarray | None) -> None:
    if not np.isfinite(values).all():
        raise ImageError(f"{strips.path}: holds values that are not finite (NaN or infinity)")
    if alpha is not None and (alpha.min() < 0 or alpha.max() > 1):
        raise ImageError(f"{strips.path}: alpha from {alpha.min():g} to {alpha.max():g} must be in [0, 1]")
