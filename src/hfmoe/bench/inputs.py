"""The input of a benchmark: an image whose windows differ as those of photos do."""

from pathlib import Path

import numpy as np
import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor

from hfmoe.image.files import flatten, read_picture


def pink_image(height: int, width: int, *, channels: int, seed: int = 0) -> Float[Tensor, "1 c h w"]:
    """Noise whose amplitude falls as 1 / frequency, like that of photos, of mean .5 and deviation .15."""
    generator = np.random.default_rng(seed)
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    frequency = np.hypot(rows, columns)
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(generator.standard_normal((channels, height, width))) / frequency
    image = np.fft.irfft2(spectrum, s=(height, width))
    image = (image - image.mean()) / max(float(image.std()), 1e-12) * 0.15 + 0.5
    return torch.from_numpy(image.clip(0, 1).astype(np.float32))[None]


def photo_of_size(path: Path, height: int, width: int, *, channels: int) -> Float[Tensor, "1 c h w"]:
    """Return a photo's middle of this size; a smaller photo is repeated, mirrored, beyond its borders."""
    image = flatten(read_picture(path)).colour
    if channels == 1:
        image = image.mean(0, keepdim=True)
    elif len(image) == 1:
        image = repeat(image, "1 h w -> c h w", c=channels)
    rows, columns = (_mirrored(side, due) for side, due in zip(image.shape[1:], (height, width), strict=True))
    return rearrange(image[:, rows][:, :, columns], "c h w -> 1 c h w").contiguous()


def _mirrored(length: int, due: int) -> Tensor:
    """`due` positions around the middle of a row that goes back and forth."""
    places = torch.arange(due) + (length - due) // 2
    around = places.remainder(2 * length)
    return torch.minimum(around, 2 * length - 1 - around)
