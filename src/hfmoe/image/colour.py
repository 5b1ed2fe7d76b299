"""Luma and YCbCr of ITU-R BT.601 as the restoration papers use them: studio range, 8-bit units / 255."""

import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor

_OFFSET = (16.0, 128.0, 128.0)
_FROM_RGB = (
    (65.481, 128.553, 24.966),
    (-37.797, -74.203, 112.0),
    (112.0, -93.786, -18.214),
)


def luma(image: Float[Tensor, "*b c h w"]) -> Float[Tensor, "*b 1 h w"]:
    """Y in [16, 235] / 255 of RGB in [0, 1]; an image of one channel passes through as it is.

    Raises ValueError for other channel counts.
    """
    channels = image.shape[-3]
    if channels == 1:
        return image
    if channels != 3:
        raise ValueError(f"{channels} channels: luma needs 1 or 3")
    red, green, blue = _FROM_RGB[0]
    y = red * image[..., 0:1, :, :] + green * image[..., 1:2, :, :] + blue * image[..., 2:3, :, :]
    return (y + _OFFSET[0]) / 255


def ycbcr_from_rgb(image: Float[Tensor, "*b 3 h w"]) -> Float[Tensor, "*b 3 h w"]:
    """Y in [16, 235] / 255, Cb and Cr in [16, 240] / 255, of RGB in [0, 1]."""
    matrix = image.new_tensor(_FROM_RGB) / 255
    return einsum(matrix, image, "o i, ... i h w -> ... o h w") + _offset(image)


def rgb_from_ycbcr(image: Float[Tensor, "*b 3 h w"]) -> Float[Tensor, "*b 3 h w"]:
    """The inverse of `ycbcr_from_rgb`; nothing is clamped."""
    matrix = torch.linalg.inv(torch.tensor(_FROM_RGB, dtype=torch.float64) / 255).to(image)
    return einsum(matrix, image - _offset(image), "o i, ... i h w -> ... o h w")


def _offset(image: Tensor) -> Float[Tensor, "3 1 1"]:
    return image.new_tensor(_OFFSET)[:, None, None] / 255
