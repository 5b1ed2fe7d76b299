"""What JPEG leaves of an image: libjpeg's own encoder and decoder, in memory."""

from typing import Any

import numpy as np
import pyvips
import torch
from einops import rearrange
from jaxtyping import UInt8
from torch import Tensor

SUBSAMPLED_UP_TO = 89
"""Up to this quality colours are stored at half the resolution (4:2:0), as libvips and most programs do."""


def through_jpeg(levels: UInt8[Tensor, "c h w"], *, quality: int) -> UInt8[Tensor, "c h w"]:
    """Encode and decode 8-bit levels: gray as a gray JPEG, colour as YCbCr with the standard tables.

    Raises ValueError when quality is not in [1, 100].
    """
    if not 1 <= quality <= 100:
        raise ValueError(f"quality {quality} must be in [1, 100]")
    samples = np.ascontiguousarray(rearrange(levels, "c h w -> h w c").numpy())
    height, width, bands = samples.shape
    image = pyvips.Image.new_from_memory(samples.data, width, height, bands, "uchar")
    image = image.copy(interpretation="b-w" if bands == 1 else "srgb")
    subsample = "on" if bands == 3 and quality <= SUBSAMPLED_UP_TO else "off"
    encoded: Any = image.jpegsave_buffer(Q=quality, subsample_mode=subsample)
    decoded = pyvips.Image.jpegload_buffer(encoded).numpy().reshape(height, width, bands)
    return rearrange(torch.from_numpy(decoded.copy()), "h w c -> c h w").contiguous()
