"""How photos are when one finds them: sharpened and saved as JPEG, before any damage that counts."""

import hashlib
import math
from dataclasses import dataclass

import torch
from jaxtyping import UInt8
from torch import Tensor

from hfmoe.data.degradations.blur import GaussianBlur
from hfmoe.data.degradations.drawing import Range, chance, uniform, whole
from hfmoe.image.encoded import through_jpeg

LONGEST = 65500
"""Pixels a side that a JPEG may have."""


@dataclass(frozen=True)
class Found:
    """A share of the clean photos is sharpened and saved once more as JPEG 4:2:0, before anything else.

    Cameras and sites do both to photos; those of BSDS500, of which CBSD68 is a part, had it. A network that
    has only seen colours of full resolution may take coloured noise for detail; one that has only seen shrunk
    photos, which are soft, may take detail for noise.

    quality: of the JPEG, 1 to 100. sharpening: how much of what a blur would remove is added, 0 for none;
    radius: standard deviation of that blur in pixels.
    """

    share: float
    quality: tuple[int, int]
    sharpening: Range
    radius: Range = (0.5, 1.2)

    def applied(self, image: UInt8[Tensor, "c h w"], *, name: str) -> UInt8[Tensor, "c h w"]:
        """Give a photo as it would be found; what is drawn depends on its name alone.

        A photo that no JPEG can hold stays as it is.
        """
        words = hashlib.sha256(name.encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(words[:6]))
        if not chance(generator, self.share) or max(image.shape) > LONGEST:
            return image
        amount, radius = uniform(generator, self.sharpening), uniform(generator, self.radius)
        low, high = self.quality
        quality = whole(generator, (float(low), float(high)))
        sharp = sharpened(image, amount=amount, radius=radius)
        return through_jpeg(sharp, quality=quality, subsampling=True)


def sharpened(image: UInt8[Tensor, "c h w"], *, amount: float, radius: float) -> UInt8[Tensor, "c h w"]:
    """Add `amount` of what a Gaussian blur of `radius` pixels takes away (unsharp masking)."""
    if amount == 0:
        return image
    blur = GaussianBlur(2 * math.ceil(3 * radius) + 1, sigma=(radius, radius))
    return torch.stack([_sharper(plane, blur=blur, amount=amount) for plane in image])


def _sharper(plane: UInt8[Tensor, "h w"], *, blur: GaussianBlur, amount: float) -> UInt8[Tensor, "h w"]:
    """One plane at a time: photos are large, and several are read at once."""
    levels = plane[None].float()
    return torch.lerp(blur(levels), levels, 1 + amount).round().clamp(0, 255).byte()[0]
