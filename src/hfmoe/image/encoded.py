"""Images as the bytes of a file in memory: archives' members, pages' data, a trip through JPEG or WebP."""

import base64
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import numpy as np
import pyvips
from einops import rearrange
from jaxtyping import UInt8

from hfmoe.image.arrays import Tensor, as_tensor
from hfmoe.image.picture import ImageError, Picture
from hfmoe.image.reading import read_arrays, read_gray8, read_rgb8
from hfmoe.image.writing import FORMATS, QUALITY, write_picture
from hfmoe.runtime.fork import check_fork

_Read = TypeVar("_Read", Picture, Tensor)
SUBSAMPLED_UP_TO = 89
"""Up to this quality colours are stored at half the resolution (4:2:0), as libvips and most programs do."""


def data_address(picture: Picture) -> str:
    """Return a picture as an address that holds it, to the bit in 8 bits: WebP, or PNG above its sides."""
    small = max(picture.colour.shape[-2:]) <= FORMATS[".webp"].side
    kind = "webp" if small else "png"
    content = encode_picture(replace(picture, bits=8), kind, quality=100)
    return f"data:image/{kind};base64," + base64.b64encode(content).decode("ascii")


def encode_picture(picture: Picture, kind: str, *, quality: int = QUALITY) -> bytes:
    """Return the bytes of an image file, such as "png". Raises ImageError as `write_picture`."""
    with TemporaryDirectory(prefix="hfmoe-") as folder:
        path = Path(folder) / f"result.{kind}"
        try:
            write_picture(path, picture, quality=quality)
        except ImageError as error:
            raise ImageError(str(error).replace(str(path), path.name)) from error
        return path.read_bytes()


def decode_picture(data: bytes, name: str) -> Picture:
    """Decode the bytes of an image file as `read_arrays` does; `name` stands for it in errors."""
    return _read(data, name, read_arrays)


def decode_rgb8(data: bytes, name: str) -> UInt8[Tensor, "3 h w"]:
    """Decode the bytes of an image file as `read_rgb8` does; `name` stands for it in errors."""
    return _read(data, name, read_rgb8)


def decode_gray8(data: bytes, name: str) -> UInt8[Tensor, "1 h w"]:
    """Decode the bytes of an image file as `read_gray8` does; `name` stands for it in errors."""
    return _read(data, name, read_gray8)


def _read(data: bytes, name: str, read: Callable[[Path], _Read]) -> _Read:
    """Read bytes by way of a file that goes away, so that they mean what the same file in a folder means."""
    with TemporaryDirectory(prefix="hfmoe-") as folder:
        path = Path(folder) / f"image{Path(name).suffix}"
        path.write_bytes(data)
        try:
            return read(path)
        except ImageError as error:
            raise ImageError(str(error).replace(str(path), name)) from error


def through_webp(levels: UInt8[Tensor, "c h w"], *, quality: int) -> UInt8[Tensor, "c h w"]:
    """Encode as lossy WebP of quality 1 to 100 and decode again; gray stays gray."""
    data: bytes = _image(levels).webpsave_buffer(Q=quality, effort=0)
    return _levels(data, channels=len(levels))


def through_jpeg(
    levels: UInt8[Tensor, "c h w"], *, quality: int, subsampling: bool | None = None
) -> UInt8[Tensor, "c h w"]:
    """Encode as baseline JPEG and decode again by libjpeg, as `jpeg_file` does; gray stays gray."""
    return _levels(jpeg_file(levels, quality=quality, subsampling=subsampling), channels=len(levels))


def png_file(levels: UInt8[Tensor, "c h w"]) -> bytes:
    """Return the bytes of an 8-bit PNG file."""
    return _image(levels).pngsave_buffer(compression=2)


def jpeg_file(levels: UInt8[Tensor, "c h w"], *, quality: int, subsampling: bool | None = None) -> bytes:
    """Return the bytes of a JPEG file: gray, or YCbCr with the standard tables.

    subsampling: 4:2:0 at any quality, or 4:4:4; None takes the former up to `SUBSAMPLED_UP_TO`. Raises
    ValueError when quality is not in [1, 100].
    """
    if not 1 <= quality <= 100:
        raise ValueError(f"quality {quality} must be in [1, 100]")
    halved = quality <= SUBSAMPLED_UP_TO if subsampling is None else subsampling
    return _image(levels).jpegsave_buffer(Q=quality, subsample_mode="on" if halved else "off")


def _image(levels: UInt8[Tensor, "c h w"]) -> pyvips.Image:
    check_fork("libvips")
    channels, height, width = levels.shape
    samples = np.ascontiguousarray(rearrange(levels, "c h w -> h w c").numpy())
    image = pyvips.Image.new_from_memory(samples.data, width, height, channels, "uchar")
    return _on_one_thread(image.copy(interpretation="b-w" if channels == 1 else "srgb"))


def _on_one_thread(image: pyvips.Image) -> pyvips.Image:
    """Have libvips compute an image of one's own in one worker.

    Images of training's size gain nothing by more, and libvips' pools, which shrink while they run, may wait
    for ever after such short work on a busy machine (libvips issue 4068, seen with 8.18.7): a run hung.
    """
    image.set_type(pyvips.GValue.gint_type, "concurrency", 1)
    return image


def _levels(data: bytes, *, channels: int) -> UInt8[Tensor, "c h w"]:
    image = _on_one_thread(pyvips.Image.new_from_buffer(data, "").copy())
    values = image.numpy().reshape(image.height, image.width, image.bands)[..., :channels]
    return as_tensor(rearrange(values, "h w c -> c h w").copy())
