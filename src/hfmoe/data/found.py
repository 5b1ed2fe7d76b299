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

RADIUS = (0.5, 1.2)
"""Standard deviation, in pixels, of the blur that sharpening moves away from."""


@dataclass(frozen=True)
class Found:
    """A share of the clean photos is sharpened and saved once as JPEG 4:2:0, before anything is made of them.

    That is what cameras and sites have done to most photos that one finds. A network that has only seen
    colours of full resolution takes coloured noise for detail; one that has only seen shrunk photos, which
    are soft, takes detail for noise.

    quality: of the JPEG, 1 to 100. sharpening: how much of what a blur would remove is added, 0 for none.
    """

    share: float
    quality: Range
    sharpening: Range

    def applied(self, image: UInt8[Tensor, "c h w"], *, name: str) -> UInt8[Tensor, "c h w"]:
        """Give a photo as it would be found; what is drawn depends on its name alone."""
        words = hashlib.sha256(name.encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(words[:6]))
        if not chance(generator, self.share):
            return image
        amount, radius = uniform(generator, self.sharpening), uniform(generator, RADIUS)
        sharp = sharpened(image, amount=amount, radius=radius)
        return through_jpeg(sharp, quality=whole(generator, self.quality), subsampling=True)


def sharpened(image: UInt8[Tensor, "c h w"], *, amount: float, radius: float) -> UInt8[Tensor, "c h w"]:
    """Add `amount` of what a Gaussian blur of `radius` pixels takes away (unsharp masking)."""
    levels = image.float()
    soft = GaussianBlur(2 * math.ceil(3 * radius) + 1, sigma=(radius, radius))(levels)
    return torch.lerp(soft, levels, 1 + amount).round().clamp(0, 255).byte()
