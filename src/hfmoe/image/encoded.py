"""Images as the bytes of a file in memory: decoding members of archives, and a trip through WebP."""

from pathlib import Path

import numpy as np
import pyvips
import torch
from einops import rearrange, repeat
from jaxtyping import UInt8
from torch import Tensor

from hfmoe.image import reading
from hfmoe.image.picture import ImageError


def decode_rgb8(data: bytes, name: str) -> UInt8[Tensor, "3 h w"]:
    """Decode the bytes of an image file as `read_rgb8` does; `name` stands for it in errors."""
    colour = decode_8bit(data, name)
    return repeat(colour, "1 h w -> 3 h w").contiguous() if len(colour) == 1 else colour


def decode_gray8(data: bytes, name: str) -> UInt8[Tensor, "1 h w"]:
    """Decode the bytes of an image file as `read_gray8` does."""
    colour = decode_8bit(data, name)
    if len(colour) == 1:
        return colour
    red, green, blue = colour.to(torch.int32)
    return ((299 * red + 587 * green + 114 * blue + 500) // 1000).to(torch.uint8)[None]


def decode_8bit(data: bytes, name: str) -> UInt8[Tensor, "c h w"]:
    """Decode the bytes of an image file as `read_8bit` does. Raises ImageError naming the file."""
    if not data:
        raise ImageError(f"{name}: the file is empty")
    try:
        image = pyvips.Image.new_from_buffer(data, "", access="sequential", fail_on="error")
        reading._check_header(Path(name), image, max_pixels=reading.MAX_PIXELS)
        samples = reading._decode(Path(name), image)
    except pyvips.Error as error:
        reason = next((line.strip() for line in str(error.detail).splitlines() if line.strip()), str(error))
        raise ImageError(f"{name}: damaged, cut off or not an image ({reason})") from error
    values = torch.from_numpy(samples.values.copy())
    if samples.values.dtype != np.uint8 or samples.has_alpha:
        share = values.to(torch.float32) / samples.top
        if samples.has_alpha:
            share = share[..., :-1] * share[..., -1:] + 1 - share[..., -1:]
        values = (share * 255 + 0.5).floor().to(torch.uint8)
    return rearrange(values, "h w c -> c h w").contiguous()


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
