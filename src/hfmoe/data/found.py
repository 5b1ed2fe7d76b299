"""How photos are when one finds them: paled and saved as JPEG, before any damage that counts."""

import hashlib
from dataclasses import dataclass

import torch
from jaxtyping import UInt8
from torch import Tensor

from hfmoe.data.degradations.drawing import Range, chance, uniform, whole
from hfmoe.image.encoded import through_jpeg

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in luma (ITU-R BT.601)."""


@dataclass(frozen=True)
class Found:
    """A share of the clean photos is paled and saved once as JPEG 4:2:0, before anything is made of them.

    Most photos that one finds have colours of half the resolution and less of them than photos chosen for
    their beauty; a network that has only seen the latter leaves coloured noise, which it takes for detail.
    quality: of the JPEG, 1 to 100. saturation: factor of a photo's distance from gray, 0 to 1.
    """

    share: float
    quality: Range
    saturation: Range

    def applied(self, image: UInt8[Tensor, "c h w"], *, name: str) -> UInt8[Tensor, "c h w"]:
        """Give a photo as it would be found; what is drawn depends on its name alone."""
        words = hashlib.sha256(name.encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(words[:6]))
        if not chance(generator, self.share):
            return image
        quality, saturation = whole(generator, self.quality), uniform(generator, self.saturation)
        return through_jpeg(paled(image, saturation=saturation), quality=quality, subsampling=True)


def paled(image: UInt8[Tensor, "c h w"], *, saturation: float) -> UInt8[Tensor, "c h w"]:
    """Bring colours nearer to the gray of their luma: 1 leaves them, 0 leaves none; gray images stay."""
    if len(image) != len(LUMA):
        return image
    levels = image.float()
    luma = (levels * levels.new_tensor(LUMA)[:, None, None]).sum(0, keepdim=True)
    return torch.lerp(luma, levels, saturation).round().clamp(0, 255).byte()
