"""Images as the bytes of a file in memory: members of archives, and a trip through JPEG or WebP."""

from collections.abc import Callable
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np
import pyvips
import torch
from einops import rearrange
from jaxtyping import UInt8
from torch import Tensor

from hfmoe.image.picture import ImageError
from hfmoe.image.reading import read_gray8, read_rgb8

SUBSAMPLED_UP_TO = 89
"""Up to this quality colours are stored at half the resolution (4:2:0), as libvips and most programs do."""


def decode_rgb8(data: bytes, name: str) -> UInt8[Tensor, "3 h w"]:
    """Decode the bytes of an image file as `read_rgb8` does; `name` stands for it in errors."""
    return _read(data, name, read_rgb8)


def decode_gray8(data: bytes, name: str) -> UInt8[Tensor, "1 h w"]:
    """Decode the bytes of an image file as `read_gray8` does; `name` stands for it in errors."""
    return _read(data, name, read_gray8)


def _read(data: bytes, name: str, read: Callable[[Path], Tensor]) -> Tensor:
    """Read bytes by way of a file that goes away, so that they mean what the same file in a folder means."""
    with NamedTemporaryFile(prefix="hfmoe-") as file:
        file.write(data)
        file.flush()
        try:
            return read(Path(file.name))
        except ImageError as error:
            raise ImageError(str(error).replace(file.name, name)) from error


def through_webp(levels: UInt8[Tensor, "c h w"], *, quality: int) -> UInt8[Tensor, "c h w"]:
    """Encode as lossy WebP of quality 1 to 100 and decode again; gray stays gray."""
    data: bytes = _image(levels).webpsave_buffer(Q=quality, effort=0)
    return _levels(data, channels=len(levels))


def through_jpeg(
    levels: UInt8[Tensor, "c h w"], *, quality: int, subsampling: bool | None = None
) -> UInt8[Tensor, "c h w"]:
    """Encode as baseline JPEG and decode again by libjpeg, as `jpeg_file` does; gray stays gray."""
    return _levels(jpeg_file(levels, quality=quality, subsampling=subsampling), channels=len(levels))


def jpeg_file(levels: UInt8[Tensor, "c h w"], *, quality: int, subsampling: bool | None = None) -> bytes:
    """Give the bytes of a JPEG file: gray, or YCbCr with the standard tables.

    subsampling: 4:2:0 at any quality, or 4:4:4; None takes the former up to `SUBSAMPLED_UP_TO`. Raises
    ValueError when quality is not in [1, 100].
    """
    if not 1 <= quality <= 100:
        raise ValueError(f"quality {quality} must be in [1, 100]")
    halved = quality <= SUBSAMPLED_UP_TO if subsampling is None else subsampling
    return _image(levels).jpegsave_buffer(Q=quality, subsample_mode="on" if halved else "off")


def _image(levels: UInt8[Tensor, "c h w"]) -> pyvips.Image:
    channels, height, width = levels.shape
    samples = np.ascontiguousarray(rearrange(levels, "c h w -> h w c").numpy())
    image = pyvips.Image.new_from_memory(samples.data, width, height, channels, "uchar")
    return image.copy(interpretation="b-w" if channels == 1 else "srgb")


def _levels(data: bytes, *, channels: int) -> UInt8[Tensor, "c h w"]:
    image = pyvips.Image.new_from_buffer(data, "")
    values = image.numpy().reshape(image.height, image.width, image.bands)[..., :channels]
    return rearrange(torch.from_numpy(values.copy()), "h w c -> c h w").contiguous()
