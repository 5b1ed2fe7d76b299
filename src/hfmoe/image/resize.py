"""Bicubic resize equal to MATLAB's imresize: a = -0.5, antialiased, symmetric borders; and crops.

The kernel is Keys, "Cubic convolution interpolation for digital image processing", 1981.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Shaped

from hfmoe.image.arrays import Array, alike, cast, is_tensor, namespace
from hfmoe.image.filters import BLOCK, MatrixBlock, Taps, apply_blocks, blocks_of
from hfmoe.image.picture import quantise

Scale = int | float | Fraction

_KERNEL_WIDTH = 4


def resize(
    image: Float[Array, "*b c h w"],
    *,
    scale: Scale | tuple[Scale, Scale] | None = None,
    size: tuple[int, int] | None = None,
    round_to_uint8: bool = False,
) -> Float[Array, "*b c H W"]:
    """Bicubic resize of an image in [0, 1] by a scale, or to a size of (height, width).

    A scale makes ceil(scale * length) pixels, so give 1/3 as Fraction(1, 3). With `round_to_uint8`
    the input, the result of the first pass and the output are on the grid of 1/255, as in MATLAB
    for uint8; without it nothing is rounded or clamped. The axis that shrinks more goes first.
    Raises ValueError unless exactly one of scale and size is given, positive.
    """
    lengths = (image.shape[-2], image.shape[-1])
    scales, outputs = _plan(lengths, scale=scale, size=size)
    work = cast(image, _working_kind(image, exact=round_to_uint8))
    xp = namespace(image)
    if round_to_uint8:
        work = quantise(work)
    for axis in sorted((0, 1), key=lambda axis: scales[axis]):
        blocks = _blocks(lengths[axis], outputs[axis], scales[axis])
        work = apply_blocks(blocks, work, axis=axis)
        if round_to_uint8:
            work = xp.clip(xp.floor(work + 0.5), 0, 255)
    return alike(work / 255 if round_to_uint8 else work, image)


def _working_kind(image: Array, *, exact: bool) -> str:
    on_mps = is_tensor(image) and image.device.type == "mps"
    return "float64" if (exact and not on_mps) or "float64" in str(image.dtype) else "float32"


def _plan(
    lengths: tuple[int, int],
    *,
    scale: Scale | tuple[Scale, Scale] | None,
    size: tuple[int, int] | None,
) -> tuple[tuple[float, float], tuple[int, int]]:
    """Scale and output length of each axis."""
    if (scale is None) == (size is None):
        raise ValueError(f"give one of scale and size, not scale={scale} and size={size}")
    if min(lengths) < 1:
        raise ValueError(f"an image of {lengths[0]} x {lengths[1]} pixels cannot be resized")
    if size is not None:
        if min(size) < 1:
            raise ValueError(f"size {size} must be at least (1, 1)")
        return (size[0] / lengths[0], size[1] / lengths[1]), size
    scales: Sequence[Scale] = scale if isinstance(scale, tuple) else (scale, scale)  # type: ignore[assignment]
    if not all(math.isfinite(s) and s > 0 for s in scales):
        raise ValueError(f"scale {scale} must be finite and above 0")
    outputs = (math.ceil(scales[0] * lengths[0]), math.ceil(scales[1] * lengths[1]))
    return (float(scales[0]), float(scales[1])), outputs


def _cubic(x: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


def _taps(inputs: int, outputs: int, scale: float) -> Taps:
    """The taps of one axis, the kernel stretched by 1/scale where the image shrinks."""
    stretch = max(1.0, 1 / scale)
    centre = np.arange(1, outputs + 1) / scale + 0.5 * (1 - 1 / scale) - 1
    first = np.floor(centre - _KERNEL_WIDTH * stretch / 2)
    count = math.ceil(_KERNEL_WIDTH * stretch) + 2
    positions = first[:, None] + np.arange(count)
    weights = _cubic((centre[:, None] - positions) / stretch)
    weights = weights / weights.sum(1, keepdims=True)
    around = positions.astype(np.int64) % (2 * inputs)
    return Taps(np.minimum(around, 2 * inputs - 1 - around), weights)


@lru_cache(maxsize=16)
def _blocks(inputs: int, outputs: int, scale: float) -> tuple[MatrixBlock, ...]:
    step = max(1, math.ceil(BLOCK * min(1.0, scale)))
    return blocks_of(_taps(inputs, outputs, scale), step=step)


def row_blocks(inputs: int, outputs: int) -> tuple[MatrixBlock, ...]:
    """The matrices of one axis, block by block, by which `resize` brings it to a size."""
    return _blocks(inputs, outputs, outputs / inputs)


def crop_to_multiple(image: Shaped[Array, "*b c h w"], *, multiple: int) -> Shaped[Array, "*b c H W"]:
    """The top-left part whose height and width are the largest multiples of `multiple`.

    Raises ValueError when the image is smaller than one multiple.
    """
    height, width = image.shape[-2:]
    if multiple < 1:
        raise ValueError(f"multiple {multiple} must be at least 1")
    if min(height, width) < multiple:
        raise ValueError(f"{height} x {width} pixels: at least {multiple} x {multiple} are needed")
    return image[..., : height - height % multiple, : width - width % multiple]


def crop_border(image: Shaped[Array, "*b c h w"], *, border: int) -> Shaped[Array, "*b c H W"]:
    """The image without `border` pixels on each side.

    Raises ValueError when nothing would be left.
    """
    height, width = image.shape[-2:]
    if border < 0 or min(height, width) <= 2 * border:
        raise ValueError(f"border {border} must be in [0, {(min(height, width) + 1) // 2})")
    return image[..., border : height - border, border : width - border]
