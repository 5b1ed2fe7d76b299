"""Protocols of super-resolution: bicubic shrinking, on RGB and on the luma alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor

from hfmoe.evaluate.protocol import EvaluationProtocol, ImagePair, Restore, originals
from hfmoe.image.colour import luma, rgb_from_ycbcr, ycbcr_from_rgb
from hfmoe.image.files import ImageError, read_8bit
from hfmoe.image.picture import round_to_8bit
from hfmoe.image.resize import crop_to_multiple, resize
from hfmoe.metrics.ssim import WINDOW


@dataclass(frozen=True)
class _SuperResolution(EvaluationProtocol):
    """What both have in common: PSNR on the luma, as many pixels left out on each side as the scale."""

    scale: int
    headline: ClassVar[str] = "psnr_y"

    def __post_init__(self):
        if self.scale < 2:
            raise ValueError(f"scale {self.scale} must be at least 2 for super-resolution")

    @property
    def border(self) -> int:
        """As many pixels as the scale."""
        return self.scale


@dataclass(frozen=True)
class ClassicalSR(_SuperResolution):
    """The protocol of the super-resolution papers, on RGB.

    Originals are cropped to a multiple of the scale and shrunk by MATLAB's bicubic in 8 bits; results
    are rounded to 8 bits; `scale` pixels on each side do not count. Y is BT.601's. A gray original is
    given as three equal channels, and its own samples are the Y that counts, as in MATLAB's scripts.
    """

    @property
    def name(self) -> str:
        """Name and version, as reports carry it."""
        return f"classical-sr-x{self.scale} v1"

    def pairs(self, folder: Path) -> Iterator[ImagePair]:
        """Yield the folder's images, shrunk; targets have one channel where the file is gray."""
        for path in originals(folder):
            target = _target(path, scale=self.scale)
            rgb = repeat(target, "1 1 h w -> 1 3 h w") if target.shape[1] == 1 else target
            degraded = resize(rgb, scale=Fraction(1, self.scale), round_to_uint8=True)
            yield ImagePair(path.name, degraded, target)


@dataclass(frozen=True)
class LumaSR(_SuperResolution):
    """The older protocol of the published bicubic, SRCNN and FSRCNN rows, which sees Y alone.

    The target is the original's BT.601 Y rounded to 8 bits, as a gray image. It is shrunk by MATLAB's
    bicubic without rounding; results are rounded to 8 bits; `scale` pixels on each side do not count.
    """

    @property
    def name(self) -> str:
        """Name and version, as reports carry it."""
        return f"luma-sr-x{self.scale} v1"

    def pairs(self, folder: Path) -> Iterator[ImagePair]:
        """Yield the folder's lumas, shrunk."""
        for path in originals(folder):
            colour = _target(path, scale=self.scale)
            target = colour if colour.shape[1] == 1 else round_to_8bit(luma(colour))
            yield ImagePair(path.name, resize(target, scale=Fraction(1, self.scale)), target)


def bicubic(scale: int) -> Restore:
    """Return bicubic upscaling as the published rows did it: colours on the planes of YCbCr in 8 bits.

    Gray images, and colour images whose channels are equal, are upscaled as they are.
    """

    def restore(image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c H W"]:
        plain = resize(image, scale=scale)
        if image.shape[1] == 1:
            return plain
        gray = rearrange((image == image[:, :1]).all(3).all(2).all(1), "b -> b 1 1 1")
        planes = round_to_8bit(resize(ycbcr_from_rgb(image), scale=scale))
        return torch.where(gray, plain, rgb_from_ycbcr(planes))

    return restore


def _target(path: Path, *, scale: int) -> Float[Tensor, "1 c h w"]:
    """Return the original in [0, 1], cropped to a multiple of the scale."""
    image = read_8bit(path)[None].float() / 255
    height, width = image.shape[-2:]
    smallest = WINDOW + 2 * scale
    if min(height - height % scale, width - width % scale) < smallest:
        rule = f"at x{scale} at least {smallest} each way are scored, after cropping to a multiple of {scale}"
        raise ImageError(f"{path}: {width} x {height} pixels; {rule}")
    return crop_to_multiple(image, multiple=scale)
