"""Tensors, arrays and Pillow's images as callers hold them, to batches in [0, 1] and back."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from einops import rearrange
from jaxtyping import Float, Shaped

from hfmoe.image.arrays import Array, Tensor, alike, namespace
from hfmoe.image.picture import quantise

_BITS = {np.dtype(np.uint8): 8, np.dtype(np.uint16): 16}
_TENSOR_BITS = {"torch.uint8": 8, "torch.uint16": 16}
_PILLOW_MODES = {"1": "L", "L": "L", "LA": "LA", "La": "LA", "P": "RGB", "PA": "RGBA"}
_PILLOW_MODES |= {"RGB": "RGB", "RGBX": "RGB", "YCbCr": "RGB", "RGBA": "RGBA", "RGBa": "RGBA"}
"""Modes that Pillow's images are converted to; all but YCbCr lose nothing."""
_PILLOW_SAID = ("icc_profile", "exif", "xmp", "dpi")
"""Facts of a Pillow image that hold for a larger one, too."""


class Opened(NamedTuple):
    """An image as a batch with channels first in [0, 1], and the way back to the kind it came as."""

    colour: Float[Array, "b c h w"]
    alpha: Float[Array, "b 1 h w"] | None
    close: Callable[[Array, Array | None], Any]


def open_tensor(image: Shaped[Tensor, "..."]) -> Opened:
    """A tensor of uint8, uint16 or floats in [0, 1], with or without a batch axis; 2 or 4 channels have alpha
    last.

    Raises ValueError for other types, axes or channels, and for floats that are plainly not in [0, 1].
    """
    bits = _TENSOR_BITS.get(str(image.dtype))
    if image.ndim not in (3, 4) or (bits is None and not image.is_floating_point()):
        kind = f"shape {tuple(image.shape)} and {image.dtype}"
        raise ValueError(f"a tensor of {kind} must be uint8, uint16 or floating, (c h w) or (b c h w)")
    batch = image if image.ndim == 4 else image[None]
    colour, alpha = _split(batch.float() / (2**bits - 1) if bits else batch)

    def close(restored: Tensor, restored_alpha: Tensor | None) -> Tensor:
        joined = _join(restored, restored_alpha)
        joined = (quantise(joined.double(), bits=bits) if bits else joined).to(image)
        return joined if image.ndim == 4 else joined[0]

    return Opened(colour, alpha, close)


def open_array(image: np.ndarray) -> Opened:
    """An array h w, or h w c: uint8, uint16, or floating in [0, 1], of any byte order; of 2 or 4 channels the
    last is alpha.

    Raises ValueError for other types, axes or channels.
    """
    bits = _BITS.get(image.dtype.newbyteorder("="))
    if image.ndim not in (2, 3) or (bits is None and image.dtype.kind != "f"):
        kind = f"shape {image.shape} and {image.dtype}"
        raise ValueError(f"an array of {kind} must be uint8, uint16 or floating, (h w) or (h w c)")
    samples = image.astype(np.float32)
    bands = rearrange(samples if image.ndim == 3 else samples[..., None], "h w c -> 1 c h w")
    colour, alpha = _split(bands / (2**bits - 1) if bits else bands)

    def close(restored: np.ndarray, restored_alpha: np.ndarray | None) -> np.ndarray:
        joined = rearrange(_join(restored, restored_alpha), "1 c h w -> h w c")
        levels = quantise(joined.astype(np.float64), bits=bits) if bits else joined
        array = np.ascontiguousarray(levels, dtype=image.dtype)
        return array if image.ndim == 3 else array[..., 0]

    return Opened(colour, alpha, close)


def open_pillow(image: Any) -> Opened:
    """A Pillow image; what comes back is one, of a mode that holds the same, with profile and EXIF.

    The pixels stay as they lie: an orientation that EXIF names is neither applied nor dropped. Raises
    ValueError for a mode whose colours need a profile to be converted, such as CMYK.
    """
    from PIL import Image

    opened = open_array(_pillow_array(image))

    def close(restored: np.ndarray, restored_alpha: np.ndarray | None) -> Any:
        result = Image.fromarray(opened.close(restored, restored_alpha))
        result.info = {name: image.info[name] for name in _PILLOW_SAID if name in image.info}
        return result

    return opened._replace(close=close)


def _pillow_array(image: Any) -> np.ndarray:
    if image.mode == "F" or image.mode.startswith("I;16"):
        return np.asarray(image)
    if image.mode == "I":
        values = np.asarray(image)
        if values.size and not 0 <= values.min() <= values.max() < 2**16:
            extent = f"{values.min()} to {values.max()}"
            raise ValueError(f"a Pillow image of mode I from {extent} must be in [0, 65535]")
        return values.astype(np.uint16)
    if image.mode not in _PILLOW_MODES:
        raise ValueError(f"a Pillow image of mode {image.mode} must be converted to RGB first")
    mode = _PILLOW_MODES[image.mode]
    if "transparency" in image.info:
        mode = {"L": "LA", "RGB": "RGBA"}.get(mode, mode)
    return np.asarray(image.convert(mode))


def _split(batch: Float[Array, "b c h w"]) -> tuple[Array, Array | None]:
    channels = batch.shape[1]
    if channels not in (1, 2, 3, 4):
        raise ValueError(f"an image of {channels} channels must have 1 to 4")
    if 0 not in batch.shape and (batch.min() < -1 or batch.max() > 2):
        extent = f"{batch.min():g} to {batch.max():g}"
        raise ValueError(f"values from {extent}: floating images must be in [0, 1]")
    return (batch[:, :-1], batch[:, -1:]) if channels in (2, 4) else (batch, None)


def _join(colour: Float[Array, "b c h w"], alpha: Float[Array, "b 1 h w"] | None) -> Array:
    return colour if alpha is None else namespace(colour).concatenate([colour, alike(alpha, colour)], 1)
