"""Grids that an enlarging network draws: amplitude at the frequencies of its pixel shuffle on flat noise.

Perceptual losses and strided features can teach a network a checkerboard or crosshatch that every distance of
images overlooks and every eye sees. Bicubic enlargement has 1; above 6 a grid shows on flat dark places.
"""

from collections.abc import Callable

import torch
from einops import reduce
from jaxtyping import Float
from torch import Tensor

LEVELS = (0.1, 0.3, 0.6, 0.9)
"""Gray levels of the inputs; grids show first on the dark ones."""

SIGMA = 0.03
SIDE, BORDER, DRAWS = 64, 8, 4
NEAR, FAR = 2, 9
"""Distances along the axis of the neighbours that say what the amplitude would be without a grid."""


@torch.inference_mode()
def grid_strength(
    restore: Callable[[Float[Tensor, "b c h w"]], Float[Tensor, "b c H W"]], *, scale: int, channels: int = 3
) -> dict[float, float]:
    """Return the strength of the grid that `restore` draws on flat noisy inputs, by their gray level.

    It is the largest ratio, over the multiples of 1/scale of the sampling frequency up to a half on both
    axes, of the spectrum's amplitude there to the median of its neighbours along the axis; of the mean
    over channels of four draws of noise of deviation 0.03. Raises ValueError for scale 1, which shuffles no
    pixels of the result.
    """
    if scale < 2:
        raise ValueError(f"scale {scale} must be 2 or more: only enlarging networks are measured")
    generator = torch.Generator().manual_seed(0)
    noise = SIGMA * torch.randn(DRAWS, channels, SIDE, SIDE, generator=generator)
    return {level: _largest_ratio(restore((level + noise).clamp(0, 1)), scale=scale) for level in LEVELS}


def _largest_ratio(result: Float[Tensor, "b c H W"], *, scale: int) -> float:
    border = BORDER * scale
    gray = reduce(result[..., border:-border, border:-border].double().cpu(), "b c h w -> b h w", "mean")
    amplitude = torch.fft.fft2(gray - reduce(gray, "b h w -> b 1 1", "mean")).abs().mean(0)
    side = amplitude.shape[-1]
    ratios = []
    for axis in (amplitude[0], amplitude[:, 0]):
        for multiple in range(1, scale // 2 + 1):
            place = round(side * multiple / scale)
            near = torch.cat([axis[place - FAR + 1 : place - NEAR + 1], axis[place + NEAR : place + FAR]])
            ratios.append((axis[place] / near.median()).item())
    return max(ratios)
