"""Tensors and arrays as callers hold them, to batches of colour and alpha in [0, 1] and back."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from einops import rearrange
from jaxtyping import Float, Shaped

from hfmoe.image.arrays import Array, Tensor, alike, namespace
from hfmoe.image.picture import quantise

_BITS = {np.dtype(np.uint8): 8, np.dtype(np.uint16): 16}


class Opened(NamedTuple):
    """An image as a batch with channels first in [0, 1], and the way back to the kind it came as."""

    colour: Float[Array, "b c h w"]
    alpha: Float[Array, "b 1 h w"] | None
    close: Callable[[Array, Array | None], Any]


def open_tensor(image: Shaped[Tensor, "..."]) -> Opened:
    """A floating tensor in [0, 1], with or without a batch axis; 2 or 4 channels have alpha last.

    Raises ValueError when it is not floating, has other axes or channels, or is plainly not in [0, 1].
    """
    if image.ndim not in (3, 4) or not image.is_floating_point():
        shape = tuple(image.shape)
        raise ValueError(
            f"a tensor of shape {shape} and {image.dtype} must be floating, (c h w) or (b c h w)"
        )
    batch = image if image.ndim == 4 else image[None]
    colour, alpha = _split(batch)

    def close(restored: Tensor, restored_alpha: Tensor | None) -> Tensor:
        joined = _join(restored, restored_alpha).to(image)
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
