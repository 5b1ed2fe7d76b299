"""How much noise a photo's calmest places show."""

import numpy as np
from einops import rearrange
from jaxtyping import Float

BLOCK = 8
_CALM = 0.1
_LEAST_BLOCKS = 16
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
