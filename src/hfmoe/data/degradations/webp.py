"""WebP through the image library."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from hfmoe.image.encoded import through_webp


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
