"""JPEG as arithmetic (ITU-T T.81, done as in libjpeg), WebP, and the task of removing what they leave."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from hfmoe.data.degradations.sampling import chance, whole
from hfmoe.data.degradations.task import Operation, Task, within
from hfmoe.data.fields import RampedQuality, Share, fixed
from hfmoe.image.encoded import through_webp

BENCHMARK_QUALITIES = (10.0, 40.0)
"""Qualities that papers score at."""

LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99, 99, 99, 99, 99, 99, 99, 99),) * 4,
)
"""Quantisation at quality 50: annex K of the standard."""

HALF = 1e-4
"""Tolerance of rounding within which a half counts as one."""

_TO_YCBCR = (
    (0.299, 0.587, 0.114),
    (-0.168735892, -0.331264108, 0.5),
    (0.5, -0.418687589, -0.081312411),
)
_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136286, -0.714136286), (1.0, 1.772, 0.0))


@dataclass(frozen=True)
class Jpeg:
    """Saved once as a baseline JPEG of `quality` 1 to 100.

    subsampling: chroma at half resolution (4:2:0), as most cameras and sites save; else 4:4:4.
    """

    kind: ClassVar[str] = "jpeg"
    quality: int
    subsampling: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise ValueError(f"JPEG quality {self.quality} must be in [1, 100]")

    def __call__(self, image: Float[Tensor, "c h w"]) -> Float[Tensor, "c h w"]:
        """Round to 8 bits, encode, decode; blocks begin at the image's corner."""
        height, width = image.shape[-2:]
        levels = (image * 255).round().clamp(0, 255)
        if len(image) == 1:
            return _coded(levels, quality=self.quality, table=LUMA) / 255
        planes = _mixed(levels, _TO_YCBCR)
        planes = torch.cat([planes[:1], planes[1:] + 128]).round()
        chroma = _halved(planes[1:]) if self.subsampling else planes[1:]
        chroma = _coded(chroma, quality=self.quality, table=CHROMA)
        if self.subsampling:
            chroma = _doubled(chroma)[..., :height, :width]
        planes = torch.cat([_coded(planes[:1], quality=self.quality, table=LUMA), chroma - 128])
        return _mixed(planes, _TO_RGB).round().clamp(0, 255) / 255


@dataclass(frozen=True)
class WebP:
    """Saved once as a lossy WebP of `quality` 1 to 100; the pixels visit the CPU for it."""

    kind: ClassVar[str] = "webp"
    quality: int

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise ValueError(f"WebP quality {self.quality} must be in [1, 100]")

    def __call__(self, image: Float[Tensor, "c h w"]) -> Float[Tensor, "c h w"]:
        """Round to 8 bits, encode, decode."""
        levels = (image * 255).round().clamp(0, 255).byte().cpu()
        return through_webp(levels, quality=self.quality).to(image) / 255


class JpegTask(Task):
    """JPEG of a drawn `quality` of 1 to 100; subsampling: share with 4:2:0; webp: share that is WebP."""

    margin: ClassVar[int] = 8
    jitters: ClassVar[bool] = True
    kind: Literal["jpeg"] = "jpeg"
    quality: RampedQuality = fixed(5.0, 95.0)
    subsampling: Share = 0.5
    webp: Share = 0.0

    def draw(
        self, generator: torch.Generator, *, size: tuple[int, int], scale: int, share: float = 1.0
    ) -> list[Operation]:
        """Draw the file that the image is saved as."""
        quality, subsampling = whole(generator, self.quality.at(share)), chance(generator, self.subsampling)
        return [WebP(quality) if chance(generator, self.webp) else Jpeg(quality, subsampling)]

    def benchmark(self) -> dict[str, tuple[Operation, ...]]:
        """Return JPEG of the papers' qualities, colours at full resolution."""
        qualities = map(round, within(self.quality.at(1.0), BENCHMARK_QUALITIES))
        return {f"{quality}": (Jpeg(quality, subsampling=False),) for quality in qualities}


def quantisation(table: tuple[tuple[int, ...], ...], *, quality: int) -> Float[np.ndarray, "8 8"]:
    """Steps of a table at a quality by libjpeg's rule: 50 is the table itself, 100 is all ones."""
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip((np.array(table) * percent + 50) // 100, 1, 255).astype(np.float64)


@lru_cache(maxsize=1)
def _transform() -> Float[Tensor, "64 64"]:
    """The orthonormal DCT-II of 8 x 8 samples as a matrix, frequencies first."""
    frequency, place = torch.arange(8.0)[:, None], torch.arange(8.0)[None]
    matrix = 0.5 * torch.cos((2 * place + 1) * frequency * math.pi / 16)
    matrix[0] /= math.sqrt(2)
    return torch.kron(matrix, matrix)


@lru_cache(maxsize=256)
def _steps(table: tuple[tuple[int, ...], ...], quality: int) -> Float[Tensor, "64"]:
    return torch.from_numpy(quantisation(table, quality=quality)).float().flatten()


def _coded(
    planes: Float[Tensor, "c h w"], *, quality: int, table: tuple[tuple[int, ...], ...]
) -> Float[Tensor, "c h w"]:
    """Quantise the DCT of every block of 8 x 8 and go back to levels; borders are repeated to whole blocks.

    Halves go away from zero, as in libjpeg; the means of blocks often are halves.
    """
    height, width = planes.shape[-2:]
    down, right = -height % 8, -width % 8
    wide = F.pad(planes[None], (0, right, 0, down), mode="replicate")[0] if down or right else planes
    blocks = rearrange(wide - 128, "c (h y) (w x) -> (c h w) (y x)", y=8, x=8)
    transform, steps = _transform().to(planes), _steps(table, quality).to(planes)
    counts = blocks @ transform.T
    counts.div_(steps)
    signs = counts.sign()
    counts.abs_().add_(0.5 + HALF).floor_().mul_(signs).mul_(steps)
    levels = (counts @ transform).add_(128).round_().clamp_(0, 255)
    sides = {"c": len(planes), "h": (height + down) // 8, "y": 8}
    return rearrange(levels, "(c h w) (y x) -> c (h y) (w x)", **sides)[..., :height, :width]


def _mixed(planes: Float[Tensor, "3 h w"], matrix: tuple[tuple[float, ...], ...]) -> Float[Tensor, "3 h w"]:
    return (planes.new_tensor(matrix) @ planes.flatten(1)).view_as(planes)


def _halved(planes: Float[Tensor, "c h w"]) -> Float[Tensor, "c H W"]:
    """Means of 2 x 2, halves rounded up and down in turn along a row, the last row or column repeated."""
    height, width = planes.shape[-2:]
    wide = F.pad(planes[None], (0, width % 2, 0, height % 2), mode="replicate")
    sums = F.avg_pool2d(wide, 2)[0] * 4
    bias = torch.arange(sums.shape[-1], device=planes.device) % 2 + 1
    return ((sums + bias) / 4).floor()


def _doubled(planes: Float[Tensor, "c h w"]) -> Float[Tensor, "c H W"]:
    """Twice the size with weights 3/4 and 1/4, rounded: libjpeg's "fancy" chroma."""
    wide = F.interpolate(planes[None], scale_factor=2, mode="bilinear", align_corners=False)[0]
    return wide.round()
