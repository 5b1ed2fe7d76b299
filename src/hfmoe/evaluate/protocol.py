"""Named, versioned protocols: how a folder of originals becomes degraded images, and how results score."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor

from hfmoe.image.colour import luma, rgb_from_ycbcr, ycbcr_from_rgb
from hfmoe.image.crop import crop_to_multiple
from hfmoe.image.depth import round_to_8bit
from hfmoe.image.files import ImageError, list_images, read_8bit
from hfmoe.image.resize import resize
from hfmoe.metrics.ssim import WINDOW

Restore = Callable[[Float[Tensor, "b c h w"]], Float[Tensor, "b c H W"]]


class Pair(NamedTuple):
    """One image of a protocol: what a restorer is given and what it is compared with."""

    name: str
    degraded: Float[Tensor, "1 c h w"]
    target: Float[Tensor, "1 d H W"]


@runtime_checkable
class EvaluationProtocol(Protocol):
    """What `evaluate` needs of a protocol; `score_image` scores by its border."""

    @property
    def name(self) -> str:
        """Name and version, as reports carry it."""
        ...

    @property
    def headline(self) -> str:
        """The score that the papers of this protocol report: the name of a field of Scores."""
        ...

    @property
    def border(self) -> int:
        """Pixels on each side that do not count."""
        ...

    def pairs(self, folder: Path) -> Iterator[Pair]:
        """The folder's images by name; raises ImageError for one that cannot be used."""
        ...


@dataclass(frozen=True)
class ClassicalSR:
    """The protocol of the super-resolution papers, on RGB.

    Originals are cropped to a multiple of the scale and shrunk by MATLAB's bicubic in 8 bits; results
    are rounded to 8 bits; `scale` pixels on each side do not count. Y is BT.601's. A gray original is
    given as three equal channels, and its own samples are the Y that counts, as in MATLAB's scripts.
    """

    scale: int

    def __post_init__(self):
        _check_scale(self.scale)

    @property
    def name(self) -> str:
        """Name and version, as reports carry it."""
        return f"classical-sr-x{self.scale} v1"

    @property
    def headline(self) -> str:
        """PSNR on the luma."""
        return "psnr_y"

    @property
    def border(self) -> int:
        """As many pixels as the scale."""
        return self.scale

    def pairs(self, folder: Path) -> Iterator[Pair]:
        """The folder's images by name, shrunk; targets have one channel where the file is gray.

        Raises ImageError for an empty folder, a file that cannot be read or is too small to score.
        """
        for path in originals(folder):
            target = _target(path, scale=self.scale)
            rgb = repeat(target, "1 1 h w -> 1 3 h w") if target.shape[1] == 1 else target
            degraded = resize(rgb, scale=Fraction(1, self.scale), round_to_uint8=True)
            yield Pair(path.name, degraded, target)


@dataclass(frozen=True)
class LumaSR:
    """The older protocol of the published bicubic, SRCNN and FSRCNN rows, which sees Y alone.

    The target is the original's BT.601 Y rounded to 8 bits, as a gray image. It is shrunk by MATLAB's
    bicubic without rounding; results are rounded to 8 bits; `scale` pixels on each side do not count.
    """

    scale: int

    def __post_init__(self):
        _check_scale(self.scale)

    @property
    def name(self) -> str:
        """Name and version, as reports carry it."""
        return f"luma-sr-x{self.scale} v1"

    @property
    def headline(self) -> str:
        """PSNR on the luma."""
        return "psnr_y"

    @property
    def border(self) -> int:
        """As many pixels as the scale."""
        return self.scale

    def pairs(self, folder: Path) -> Iterator[Pair]:
        """The folder's lumas by name, shrunk; errors as those of ClassicalSR."""
        for path in originals(folder):
            colour = _target(path, scale=self.scale)
            target = colour if colour.shape[1] == 1 else round_to_8bit(luma(colour))
            yield Pair(path.name, resize(target, scale=Fraction(1, self.scale)), target)


def bicubic(scale: int) -> Restore:
    """Bicubic upscaling as the published rows did it: colours on the planes of YCbCr in 8 bits.

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


def _check_scale(scale: int) -> None:
    if scale < 2:
        raise ValueError(f"scale {scale} must be at least 2 for super-resolution")


def originals(folder: Path) -> list[Path]:
    """The images of a folder by name; raises ImageError when there are none."""
    paths = list_images(folder)
    if not paths:
        raise ImageError(f"{folder}: the folder holds no images")
    return paths


def _target(path: Path, *, scale: int) -> Float[Tensor, "1 c h w"]:
    """The original in [0, 1], cropped to a multiple of the scale."""
    image = read_8bit(path)[None].float() / 255
    height, width = image.shape[-2:]
    smallest = WINDOW + 2 * scale
    if min(height - height % scale, width - width % scale) < smallest:
        rule = f"at x{scale} at least {smallest} each way are scored, after cropping to a multiple of {scale}"
        raise ImageError(f"{path}: {width} x {height} pixels; {rule}")
    return crop_to_multiple(image, multiple=scale)
