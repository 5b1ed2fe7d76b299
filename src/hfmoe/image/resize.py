"""Bicubic resize equal to MATLAB's imresize: a = -0.5, antialiased, symmetric borders.

The kernel is Keys, "Cubic convolution interpolation for digital image processing", 1981.
Each axis is one banded matrix; it is applied in blocks of output positions, so that memory and
work grow with the image and not with its square.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from hfmoe.image.depth import quantise

Scale = int | float | Fraction

_KERNEL_WIDTH = 4
_BLOCK = 128


class _Taps(NamedTuple):
    """The input positions that each output position reads, and their weights."""

    positions: Int[Tensor, "outputs taps"]
    weights: Float[Tensor, "outputs taps"]


class _Block(NamedTuple):
    """Outputs that follow each other, as one small matrix over inputs[start:stop]."""

    start: int
    stop: int
    matrix: Float[Tensor, "outputs inputs"]


def resize(
    image: Float[Tensor, "*b c h w"],
    *,
    scale: Scale | tuple[Scale, Scale] | None = None,
    size: tuple[int, int] | None = None,
    round_to_uint8: bool = False,
) -> Float[Tensor, "*b c H W"]:
    """Bicubic resize of an image in [0, 1] by a scale, or to a size of (height, width).

    A scale makes ceil(scale * length) pixels, so give 1/3 as Fraction(1, 3). With `round_to_uint8`
    the input, the result of the first pass and the output are on the grid of 1/255, as in MATLAB
    for uint8; without it nothing is rounded or clamped. The axis that shrinks more goes first.
    Raises ValueError unless exactly one of scale and size is given, positive.
    """
    lengths = (image.shape[-2], image.shape[-1])
    scales, outputs = _plan(lengths, scale=scale, size=size)
    work = image.to(_working_dtype(image, exact=round_to_uint8))
    if round_to_uint8:
        work = quantise(work)
    for axis in sorted((0, 1), key=lambda axis: scales[axis]):
        blocks = _blocks(lengths[axis], outputs[axis], scales[axis])
        work = _apply(blocks, work, axis=axis)
        if round_to_uint8:
            work = (work + 0.5).floor().clamp(0, 255)
    return (work / 255 if round_to_uint8 else work).to(image.dtype)


def _working_dtype(image: Tensor, *, exact: bool) -> torch.dtype:
    if exact and image.device.type != "mps":
        return torch.float64
    return torch.promote_types(image.dtype, torch.float32)


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


def _cubic(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    x = x.abs()
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return torch.where(x <= 1, near, torch.where(x <= 2, far, 0.0))


def _taps(inputs: int, outputs: int, scale: float) -> _Taps:
    """The taps of one axis, the kernel stretched by 1/scale where the image shrinks."""
    stretch = max(1.0, 1 / scale)
    centre = torch.arange(1, outputs + 1, dtype=torch.float64) / scale + 0.5 * (1 - 1 / scale) - 1
    first = (centre - _KERNEL_WIDTH * stretch / 2).floor()
    count = math.ceil(_KERNEL_WIDTH * stretch) + 2
    positions = first[:, None] + torch.arange(count, dtype=torch.float64)
    weights = _cubic((centre[:, None] - positions) / stretch)
    weights = weights / weights.sum(dim=1, keepdim=True)
    around = positions.long().remainder(2 * inputs)
    return _Taps(torch.minimum(around, 2 * inputs - 1 - around), weights)


@lru_cache(maxsize=64)
def _blocks(inputs: int, outputs: int, scale: float) -> tuple[_Block, ...]:
    """The matrix of one axis in float64, cut where it is zero."""
    taps = _taps(inputs, outputs, scale)
    step = max(1, math.ceil(_BLOCK * min(1.0, scale)))
    blocks = []
    for positions, weights in zip(taps.positions.split(step), taps.weights.split(step), strict=True):
        start, stop = int(positions.min()), int(positions.max()) + 1
        matrix = torch.zeros(len(positions), stop - start, dtype=torch.float64)
        blocks.append(_Block(start, stop, matrix.scatter_add_(1, positions - start, weights)))
    return tuple(blocks)


def _apply(
    blocks: tuple[_Block, ...], image: Float[Tensor, "*b c h w"], *, axis: int
) -> Float[Tensor, "*b c H W"]:
    """The image with its rows (axis 0) or columns (axis 1) resampled."""
    parts = []
    for block in blocks:
        matrix = block.matrix.to(image)
        if axis == 0:
            parts.append(matrix @ image[..., block.start : block.stop, :])
        else:
            parts.append(image[..., block.start : block.stop] @ rearrange(matrix, "o i -> i o"))
    return torch.cat(parts, dim=axis - 2)
