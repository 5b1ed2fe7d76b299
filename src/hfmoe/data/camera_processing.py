"""Clean photos as cameras and sites leave them, before any degradation that counts: sharp, JPEG, soft."""

import hashlib
import math
from typing import Any

import torch
from jaxtyping import UInt8
from pydantic import model_validator
from torch import Tensor

from hfmoe.data.degradations.blur import GaussianBlur
from hfmoe.data.degradations.sampling import chance, uniform, whole
from hfmoe.data.fields import JpegQuality, NotNegative, Section, Share
from hfmoe.image.encoded import through_jpeg

LONGEST = 65500
"""Pixels a side that a JPEG may have."""

RADIUS = (0.5, 1.2)
"""Range of the standard deviation, in pixels, of the blur that sharpening is the opposite of."""


class CameraProcessing(Section):
    """A share of the clean photos is sharpened and saved once more as JPEG 4:2:0, before anything else.

    Cameras and sites do both to photos; those of BSDS500, of which CBSD68 is a part, had it. A network that
    has only seen colours of full resolution may take coloured noise for detail; one that has only seen shrunk
    photos, which are soft, may take detail for noise.

    quality: of the JPEG. sharpening: how much of what a blur would remove is added, 0 for none.
    """

    share: Share = 0.8
    quality: tuple[JpegQuality, JpegQuality] = (91, 97)
    sharpening: tuple[NotNegative, NotNegative] = (0.0, 0.5)

    @model_validator(mode="after")
    def _ordered(self) -> "CameraProcessing":
        for name, (low, high) in (("quality", self.quality), ("sharpening", self.sharpening)):
            if low > high:
                raise ValueError(f"found.{name} [{low:g}, {high:g}] must go from low to high")
        return self

    def applied(self, image: UInt8[Tensor, "c h w"], *, name: str) -> UInt8[Tensor, "c h w"]:
        """Process a photo, or leave it as it is; what is drawn depends on its name alone.

        A photo that no JPEG can hold stays as it is.
        """
        words = hashlib.sha256(name.encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(words[:6]))
        if not chance(generator, self.share) or max(image.shape) > LONGEST:
            return image
        amount, radius = uniform(generator, self.sharpening), uniform(generator, RADIUS)
        low, high = self.quality
        quality = whole(generator, (float(low), float(high)))
        sharp = sharpened(image, amount=amount, radius=radius)
        return through_jpeg(sharp, quality=quality, subsampling=True)

    def as_data(self) -> dict[str, Any]:
        """Return plain values that tell processed photos apart in a cache."""
        return {**self.model_dump(mode="json"), "radius": RADIUS}


class Softness(Section):
    """A share of the clean photos is blurred first, and the target with them, as unsharp photos are.

    A network that only ever sees sharp targets sharpens the pixels of every camera. sigma: standard deviation
    of the Gaussian in pixels of the target.
    """

    share: Share = 0.5
    sigma: tuple[NotNegative, NotNegative] = (0.3, 1.0)

    @model_validator(mode="after")
    def _ordered(self) -> "Softness":
        if self.sigma[0] > self.sigma[1]:
            raise ValueError(f"softness.sigma {list(self.sigma)} must go from low to high")
        return self

    def draw(self, generator: torch.Generator) -> float:
        """Draw a standard deviation; 0 for a photo that stays as it is."""
        return uniform(generator, self.sigma) if chance(generator, self.share) else 0.0


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
