"""Protocols of scale 1 that degrade clean images: Gaussian noise and JPEG, in colour and in gray."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float, UInt8
from torch import Tensor

from hfmoe.evaluate.noise import noise_for
from hfmoe.evaluate.protocol import Pair, originals
from hfmoe.image.encoded import through_jpeg
from hfmoe.image.files import ImageError, read_gray8, read_rgb8
from hfmoe.metrics.ssim import WINDOW

CHANNELS = (1, 3)


class _EveryPixel:
    """What protocols of scale 1 have in common: all channels and pixels count."""

    @property
    def headline(self) -> str:
        """PSNR over all channels."""
        return "psnr_rgb"

    @property
    def border(self) -> int:
        """None."""
        return 0


@dataclass(frozen=True)
class Denoise(_EveryPixel):
    """White Gaussian noise of standard deviation `sigma` / 255 on clean 8-bit images.

    As in the papers (DnCNN, FFDNet, DRUNet, SwinIR) the noisy image is neither rounded nor clamped: a
    restorer is given floats that leave [0, 1]. The noise of an image is fixed by `seed` and its content.
    `channels` 1: gray, of colour files their full-range BT.601 luma; 3: RGB, a gray file as three channels.
    Every pixel counts.
    """

    sigma: float
    channels: int = 3
    seed: int = 0

    def __post_init__(self):
        if not 0 < self.sigma <= 255:
            raise ValueError(f"sigma {self.sigma:g} must be in (0, 255]")
        check_channels(self.channels)

    @property
    def name(self) -> str:
        """Name and version, as reports carry it."""
        seed = f" seed {self.seed}" if self.seed else ""
        return f"{kind_of(self.channels)}-denoise-s{self.sigma:g} v1{seed}"

    def pairs(self, folder: Path) -> Iterator[Pair]:
        """The folder's images by name, with noise; errors as those of ClassicalSR."""
        for name, levels in _clean(folder, self.channels):
            target = _unit(levels)
            noise = noise_for(levels, seed=self.seed)[None].to(target)
            yield Pair(name, target + noise * (self.sigma / 255), target)


@dataclass(frozen=True)
class Deblock(_EveryPixel):
    """JPEG of a fixed quality: libjpeg with the standard tables, colours at half resolution below 90.

    `channels` 1 is the convention of ARCNN, DnCNN and SwinIR: the gray image is encoded as a gray JPEG
    and PSNR is of its samples. Every pixel counts.
    """

    quality: int
    channels: int = 3

    def __post_init__(self):
        if not 1 <= self.quality <= 100:
            raise ValueError(f"quality {self.quality} must be in [1, 100]")
        check_channels(self.channels)

    @property
    def name(self) -> str:
        """Name and version, as reports carry it."""
        return f"{kind_of(self.channels)}-jpeg-q{self.quality} v1"

    def pairs(self, folder: Path) -> Iterator[Pair]:
        """The folder's images by name, compressed; errors as those of ClassicalSR."""
        for name, levels in _clean(folder, self.channels):
            yield Pair(name, _unit(through_jpeg(levels, quality=self.quality)), _unit(levels))


def as_given(image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """The baseline of scale 1: the degraded image itself."""
    return image


def check_scorable(path: Path, image: Tensor, *, border: int = 0) -> None:
    """ImageError naming the file when it is smaller than one window of SSIM within its border."""
    height, width = image.shape[-2:]
    smallest = WINDOW + 2 * border
    if min(height, width) < smallest:
        raise ImageError(f"{path}: {width} x {height} pixels; at least {smallest} each way are scored")


def _clean(folder: Path, channels: int) -> Iterator[tuple[str, UInt8[Tensor, "c h w"]]]:
    for path in originals(folder):
        levels = read_gray8(path) if channels == 1 else read_rgb8(path)
        check_scorable(path, levels)
        yield path.name, levels


def _unit(levels: UInt8[Tensor, "c h w"]) -> Float[Tensor, "1 c h w"]:
    return levels[None].float() / 255


def kind_of(channels: int) -> str:
    """How names of protocols say gray or colour."""
    return "gray" if channels == 1 else "colour"


def check_channels(channels: int) -> None:
    """ValueError for other channels than those of gray and of RGB."""
    if channels not in CHANNELS:
        raise ValueError(f"channels {channels} must be 1 (gray) or 3 (colour)")
