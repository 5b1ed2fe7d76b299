"""The size that a result is to have, and the exact reduction of a restored picture to it.

Pictures are reduced in the values that files store, not in linear light: by the bicubic kernel that the
networks were trained to undo, so that a result brought back to its input's size is that input again.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from hfmoe.image.arrays import Array, namespace
from hfmoe.image.picture import Picture
from hfmoe.image.resize import resize, row_blocks

MOST = 2**20
"""Pixels of a side that can be asked for."""
MODEL_SCALES = (1, 2, 3, 4)
_ROUNDING = 0.5
"""Pixels by which an enlargement may miss the size asked for, as sizes are whole numbers."""


class Size(NamedTuple):
    """Height and width in pixels."""

    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.width} x {self.height}"


@dataclass(frozen=True)
class TargetSize:
    """Size of results by that of their sources: a factor, a width, a height or both, or a box to fit in.

    Of width and height alone the other follows from the source's shape; both together are taken as they are.
    Raises ValueError for sides and factors out of range, and for more than one way to say it.
    """

    scale: float | int | None = None
    width: int | None = None
    height: int | None = None
    fit: str | None = None

    def __post_init__(self) -> None:
        if self.scale is not None and not 1 <= self.scale <= MODEL_SCALES[-1]:
            raise ValueError(f"scale {self.scale:.10g} must be in [1, {MODEL_SCALES[-1]}]")
        for name in ("width", "height"):
            side = getattr(self, name)
            if side is not None and not 1 <= side <= MOST:
                raise ValueError(f"{name} {side} must be in [1, {MOST}]")
        ways = (self.scale is not None, (self.width or self.height) is not None, self.fit is not None)
        if sum(ways) > 1:
            raise ValueError("fit, width with height, and a fraction as scale exclude each other")
        if self.fit is not None:
            self._box()

    def _box(self) -> Size:
        match = re.fullmatch(r"(\d{1,7})[xX](\d{1,7})", self.fit or "")
        width, height = (int(match[1]), int(match[2])) if match else (0, 0)
        if not (1 <= width <= MOST and 1 <= height <= MOST):
            raise ValueError(f"fit {self.fit!r} must be WIDTHxHEIGHT, each in [1, {MOST}]")
        return Size(height, width)

    @property
    def mark(self) -> str:
        """The size in names of results, such as 1920x1080 or w1920."""
        if self.scale is not None:
            return f"x{self.scale:g}"
        if self.fit is not None:
            return self.fit.lower()
        if self.width and self.height:
            return f"{self.width}x{self.height}"
        return f"w{self.width}" if self.width else f"h{self.height}"

    def of(self, height: int, width: int) -> Size:
        """Size of the result of an upright source of height x width."""
        if self.width and self.height:
            return Size(self.height, self.width)
        if self.fit is not None:
            box = self._box()
            factor = min(box.height / height, box.width / width)
        elif self.scale is not None:
            factor = self.scale
        else:
            factor = self.width / width if self.width else (self.height or 0) / height
        return Size(self.height or _rounded(height * factor), self.width or _rounded(width * factor))

    def least_scale(self, height: int, width: int) -> int:
        """Scale of the smallest model, of at least 2, whose result is no smaller than what is asked for."""
        size = self.of(height, width)
        over = max((size.height - _ROUNDING) / height, (size.width - _ROUNDING) / width)
        return max(2, math.ceil(over))


def _rounded(side: float) -> int:
    return max(1, math.floor(side + 0.5))


def asked_size(
    scale: float | int | None, width: int | None, height: int | None, fit: str | None
) -> TargetSize | None:
    """The size that results are to have, where it is not just a model's scale. ValueError as TargetSize."""
    factor = None if scale in MODEL_SCALES else scale
    asked = (factor, width, height, fit)
    return None if asked == (None,) * 4 else TargetSize(*asked)


def result_size(target: TargetSize | None, height: int, width: int, *, scale: int) -> Size:
    """Size of the result of a source by a model of a scale. ValueError where its scale is too small."""
    if target is None:
        return Size(height * scale, width * scale)
    size = target.of(height, width)
    if max((size.height - _ROUNDING) / height, (size.width - _ROUNDING) / width) > scale:
        times = max(size.height / height, size.width / width)
        rule = f"the model enlarges {scale} times"
        raise ValueError(f"{width} x {height} pixels to {size} is {times:.3g} times; {rule}")
    return size


def reduce_image(
    colour: Float[Array, "b c h w"],
    alpha: Float[Array, "b 1 h w"] | None,
    size: Size,
    *,
    separate: bool = False,
) -> tuple[Float[Array, "b c H W"], Float[Array, "b 1 H W"] | None]:
    """Straight colours and their alpha at another size; the colours of transparent pixels count little.

    separate: alpha is no transparency, so that colours count alike. The result is held to the range of the
    input, which the kernel would leave at edges.
    """
    return _reduced(colour, alpha, lambda image: resize(image, size=size), separate=separate)


def _reduced(
    colour: Array, alpha: Array | None, resized: Callable[[Array], Array], *, separate: bool
) -> tuple[Array, Array | None]:
    low, high = min(0.0, float(colour.min())), max(1.0, float(colour.max()))
    straight = resized(colour)
    if alpha is None:
        return namespace(straight).clip(straight, low, high), None
    opacity = resized(alpha).clip(0, 1)
    if separate:
        return namespace(straight).clip(straight, low, high), opacity
    seen = resized(colour * alpha) / opacity.clip(min=1e-3)
    trust = (opacity * 8).clip(max=1)
    return namespace(straight).clip(seen * trust + straight * (1 - trust), low, high), opacity


def reduce_picture(picture: Picture, size: Size, *, separate: bool = False) -> Picture:
    """A picture at another size, with the depth, profile and metadata that it has."""
    if picture.colour.shape[1:] == size:
        return picture
    alpha = None if picture.alpha is None else picture.alpha[None]
    colour, opacity = reduce_image(picture.colour[None], alpha, size, separate=separate)
    return replace(picture, colour=colour[0], alpha=None if opacity is None else opacity[0])


class RowPart(NamedTuple):
    """Rows of a result that is reduced part by part: where they begin, and the rows that they come from."""

    row: int
    first: int
    last: int
    matrix: Float[np.ndarray, "rows inputs"]


def row_parts(height: int, size: Size) -> list[RowPart]:
    """Parts, from top to bottom, of the reduction of `height` rows."""
    parts, row = [], 0
    for block in row_blocks(height, size.height):
        parts.append(RowPart(row, block.start, block.stop, block.matrix))
        row += len(block.matrix)
    return parts


def reduce_rows(part: RowPart, picture: Picture, size: Size, *, separate: bool = False) -> Picture:
    """The rows of a result from the rows that they come from, as `reduce_picture` has them."""

    def resized(image: Float[np.ndarray, "1 c h w"]) -> Float[np.ndarray, "1 c H W"]:
        rows = part.matrix.astype(image.dtype) @ image
        return resize(rows, size=(rows.shape[-2], size.width))

    alpha = None if picture.alpha is None else picture.alpha[None]
    colour, opacity = _reduced(picture.colour[None], alpha, resized, separate=separate)
    return replace(picture, colour=colour[0], alpha=None if opacity is None else opacity[0])
