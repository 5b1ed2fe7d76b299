"""Named, versioned protocols: how a folder of originals becomes degraded images, and how results score."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar, NamedTuple

from jaxtyping import Float, UInt8
from torch import Tensor

from hfmoe.image.files import ImageError, list_images, read_gray8, read_rgb8
from hfmoe.metrics.ssim import WINDOW

Restore = Callable[[Float[Tensor, "b c h w"]], Float[Tensor, "b c H W"]]
CHANNELS = {1: "gray", 3: "colour"}
"""Names of channel counts in names of protocols."""


class ImagePair(NamedTuple):
    """One image of a protocol: what a restorer is given and what it is compared with."""

    name: str
    degraded: Float[Tensor, "1 c h w"]
    target: Float[Tensor, "1 d H W"]


class EvaluationProtocol(ABC):
    """Base of the protocols that `evaluate` runs; `score_image` scores by its border.

    headline: the score that the papers of this protocol report, the name of a field of Scores.
    """

    headline: ClassVar[str] = "psnr_rgb"

    @property
    @abstractmethod
    def name(self) -> str:
        """Name and version, as reports carry it."""

    @property
    def border(self) -> int:
        """Pixels on each side that do not count."""
        return 0

    @abstractmethod
    def pairs(self, folder: Path) -> Iterator[ImagePair]:
        """Yield the folder's images by name.

        Raises ImageError for an empty folder, a file that cannot be read or is too small to score.
        """


def originals(folder: Path) -> list[Path]:
    """Return the images of a folder by name; raises ImageError when there are none."""
    paths = list_images(folder)
    if not paths:
        raise ImageError(f"{folder}: the folder holds no images")
    return paths


def read_levels(path: Path, channels: int) -> UInt8[Tensor, "c h w"]:
    """Return an image in 8 bits: gray, of colour files their full-range BT.601 luma, or RGB."""
    return read_gray8(path) if channels == 1 else read_rgb8(path)


def in_unit(levels: UInt8[Tensor, "c h w"]) -> Float[Tensor, "1 c h w"]:
    """Return 8-bit levels as a batch in [0, 1]."""
    return levels[None].float() / 255


def check_channels(channels: int) -> None:
    """Raise ValueError for other channels than those of gray and of RGB."""
    if channels not in CHANNELS:
        raise ValueError(f"channels {channels} must be 1 (gray) or 3 (colour)")


def check_scorable(path: Path, image: Tensor, *, border: int = 0) -> None:
    """Raise ImageError naming the file when it is smaller than one window of SSIM within its border."""
    height, width = image.shape[-2:]
    smallest = WINDOW + 2 * border
    if min(height, width) < smallest:
        raise ImageError(f"{path}: {width} x {height} pixels; at least {smallest} each way are scored")
