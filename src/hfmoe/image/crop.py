"""Crops by rule."""

from jaxtyping import Shaped
from torch import Tensor


def crop_to_multiple(image: Shaped[Tensor, "*b c h w"], *, multiple: int) -> Shaped[Tensor, "*b c H W"]:
    """The top-left part whose height and width are the largest multiples of `multiple`.

    Raises ValueError when the image is smaller than one multiple.
    """
    height, width = image.shape[-2:]
    if multiple < 1:
        raise ValueError(f"multiple {multiple} must be at least 1")
    if min(height, width) < multiple:
        raise ValueError(f"{height} x {width} pixels: at least {multiple} x {multiple} are needed")
    return image[..., : height - height % multiple, : width - width % multiple]


def crop_border(image: Shaped[Tensor, "*b c h w"], *, border: int) -> Shaped[Tensor, "*b c H W"]:
    """The image without `border` pixels on each side.

    Raises ValueError when nothing would be left.
    """
    height, width = image.shape[-2:]
    if border < 0 or min(height, width) <= 2 * border:
        raise ValueError(f"border {border} must be in [0, {(min(height, width) + 1) // 2})")
    return image[..., border : height - border, border : width - border]
