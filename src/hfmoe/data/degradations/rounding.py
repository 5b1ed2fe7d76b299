"""What files and windows do to pixels: rounding and cutting."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor


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
