"""The protocol of models for photos as they are: blur, shrinking, noise and JPEG together."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import UInt8
from torch import Tensor

from hfmoe.data.degradations.blur import GaussianBlur
from hfmoe.evaluate.noise import entropy_of, standard_normal, uniforms
from hfmoe.evaluate.protocol import Pair, originals
from hfmoe.evaluate.restoration import check_channels, check_scorable, kind_of
from hfmoe.image.depth import quantise
from hfmoe.image.encoded import through_jpeg
from hfmoe.image.files import read_gray8, read_rgb8
from hfmoe.image.resize import resize

BLUR = (0.2, 1.0)
"""Standard deviation of the blur, in pixels of the degraded image."""
NOISE = (0.0, 20.0)
"""Standard deviation of the noise, in levels of 8 bits."""
QUALITY = (30, 95)
"""Quality of the JPEG."""


class Damage(NamedTuple):
    """What happens to one image: blur in pixels of the target (BLUR times the scale), noise, JPEG quality."""

    blur: float
    noise: float
    quality: int


@dataclass(frozen=True)
class PhotoRestoration:
    """Clean 8-bit images with blur, noise and JPEG together, each of a strength that differs by image.

    The target, cropped to a multiple of the scale, is blurred by an isotropic Gaussian, shrunk by MATLAB's
    bicubic, given white Gaussian noise, rounded to 8 bits and stored as JPEG (libjpeg, colours at half
    resolution below 90). Strengths are uniform in BLUR, NOISE and QUALITY; they and the noise are fixed by
    `seed` and what the image holds. Results are clamped and rounded, `scale` pixels on each side left out,
    none at scale 1. `channels` 1: gray, of colour files their full-range BT.601 luma; 3: RGB.
    """

    scale: int
    channels: int = 3
    seed: int = 0

    def __post_init__(self):
        if self.scale < 1:
            raise ValueError(f"scale {self.scale} must be at least 1")
        check_channels(self.channels)

    @property
    def name(self) -> str:
        """Name and version, as reports carry it."""
        seed = f" seed {self.seed}" if self.seed else ""
        return f"{kind_of(self.channels)}-photo-x{self.scale} v1{seed}"

    @property
    def headline(self) -> str:
        """PSNR over all channels."""
        return "psnr_rgb"

    @property
    def border(self) -> int:
        """As many pixels as the scale; none at scale 1."""
        return 0 if self.scale == 1 else self.scale

    def pairs(self, folder: Path) -> Iterator[Pair]:
        """The folder's images by name, degraded; errors as those of ClassicalSR."""
        for path in originals(folder):
            levels = read_gray8(path) if self.channels == 1 else read_rgb8(path)
            height, width = (side - side % self.scale for side in levels.shape[-2:])
            levels = levels[:, :height, :width]
            check_scorable(path, levels, border=self.border)
            yield Pair(path.name, self._degraded(levels)[None].float() / 255, levels[None].float() / 255)

    def _degraded(self, levels: UInt8[Tensor, "c H W"]) -> UInt8[Tensor, "c h w"]:
        damage = damage_for(levels, scale=self.scale, seed=self.seed)
        blur = GaussianBlur(2 * math.ceil(3 * damage.blur) + 1, sigma=(damage.blur, damage.blur))
        image = blur(levels.float() / 255)[None]
        if self.scale > 1:
            image = resize(image, scale=Fraction(1, self.scale))
        noise = standard_normal(tuple(image.shape[1:]), entropy=entropy_of(levels, seed=self.seed))
        noisy = image[0] + noise.to(image) * (damage.noise / 255)
        return through_jpeg(quantise(noisy).to(torch.uint8), quality=damage.quality)


def damage_for(levels: UInt8[Tensor, "c h w"], *, scale: int, seed: int) -> Damage:
    """The strengths that an 8-bit image is given, drawn from the seed and what it holds."""
    draws = uniforms(3, entropy=(*entropy_of(levels, seed=seed), 1))
    bounds = zip((BLUR, NOISE, QUALITY), draws, strict=True)
    blur, noise, quality = (low + (high - low) * float(draw) for (low, high), draw in bounds)
    return Damage(blur * scale, noise, round(quality))
