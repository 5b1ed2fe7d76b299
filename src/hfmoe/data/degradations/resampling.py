"""Resizing as cameras, sites and programs do it; clamping, rounding to 8 bits, and cropping."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from hfmoe.image.resize import resize

Method = Literal["area", "bilinear", "bicubic", "matlab"]
METHODS: tuple[Method, ...] = ("area", "bilinear", "bicubic", "matlab")


@dataclass(frozen=True)
class Resize:
    """To height x width pixels.

    method: "area" (means), "bilinear" and "bicubic" without antialiasing as most programs do it, or "matlab",
    the antialiased bicubic of the papers, rounded to 8 bits.
    """

    kind: ClassVar[str] = "resize"
    height: int
    width: int
    method: Method

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 1:
            raise ValueError(f"size {self.height} x {self.width} must be at least 1 x 1")
        if self.method not in METHODS:
            raise ValueError(f"method {self.method!r} must be one of {', '.join(METHODS)}")

    def __call__(self, image: Float[Tensor, "c h w"]) -> Float[Tensor, "c H W"]:
        """Resize an image; an image of that size passes through as it is."""
        size = (self.height, self.width)
        if image.shape[-2:] == size:
            return image
        if self.method == "matlab":
            return resize(image, size=size, round_to_uint8=True)
        return F.interpolate(image[None], size=size, mode=self.method)[0]


@dataclass(frozen=True)
class Clamp:
    """To [0, 1], as every program does between two steps."""

    kind: ClassVar[str] = "clamp"

    def __call__(self, image: Float[Tensor, "c h w"]) -> Float[Tensor, "c h w"]:
        """Clamp an image."""
        return image.clamp(0, 1)


@dataclass(frozen=True)
class Round:
    """To the 256 levels of an 8-bit file."""

    kind: ClassVar[str] = "round"

    def __call__(self, image: Float[Tensor, "c h w"]) -> Float[Tensor, "c h w"]:
        """Round an image."""
        return (image * 255).round().clamp(0, 255) / 255


@dataclass(frozen=True)
class Cut:
    """The height x width pixels from (top, left) on."""

    kind: ClassVar[str] = "cut"
    top: int
    left: int
    height: int
    width: int

    def __call__(self, image: Float[Tensor, "c h w"]) -> Float[Tensor, "c H W"]:
        """Cut an image. Raises ValueError where the cut does not lie inside it."""
        bottom, right = self.top + self.height, self.left + self.width
        height, width = image.shape[-2:]
        if min(self.top, self.left) < 0 or bottom > height or right > width:
            raise ValueError(f"{self} must lie inside {height} x {width} pixels")
        return image[..., self.top : bottom, self.left : right]
