"""Images as the bytes of a file in memory: members of archives, and a trip through JPEG or WebP."""

from collections.abc import Callable
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np
import pyvips
from jaxtyping import UInt8
from torch import Tensor

from hfmoe.image.picture import ImageError
from hfmoe.image.reading import read_gray8, read_rgb8


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


def through_webp(levels: UInt8[np.ndarray, "h w c"], *, quality: int) -> UInt8[np.ndarray, "h w c"]:
    """Encode as lossy WebP of quality 1 to 100 and decode again; gray stays gray."""
    data: bytes = _image(levels).webpsave_buffer(Q=quality, effort=0)
    return _levels(data, channels=levels.shape[-1])


def through_jpeg(
    levels: UInt8[np.ndarray, "h w c"], *, quality: int, subsampling: bool
) -> UInt8[np.ndarray, "h w c"]:
    """Encode as baseline JPEG of quality 1 to 100 and decode again."""
    return _levels(jpeg_file(levels, quality=quality, subsampling=subsampling), channels=levels.shape[-1])


def jpeg_file(levels: UInt8[np.ndarray, "h w c"], *, quality: int, subsampling: bool) -> bytes:
    """Give the bytes of a JPEG file; subsampling: 4:2:0 at any quality, else 4:4:4."""
    return _image(levels).jpegsave_buffer(Q=quality, subsample_mode="on" if subsampling else "off")


def _image(levels: UInt8[np.ndarray, "h w c"]) -> pyvips.Image:
    height, width, channels = levels.shape
    image = pyvips.Image.new_from_memory(np.ascontiguousarray(levels).data, width, height, channels, "uchar")
    return image.copy(interpretation="b-w" if channels == 1 else "srgb")


def _levels(data: bytes, *, channels: int) -> UInt8[np.ndarray, "h w c"]:
    image = pyvips.Image.new_from_buffer(data, "")
    values = image.numpy().reshape(image.height, image.width, image.bands)
    return values[..., :1] if channels == 1 else values[..., :3]
