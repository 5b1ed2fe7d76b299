"""Measures of one image file, and many files measured in threads."""

import hashlib
import threading
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from einops import rearrange
from jaxtyping import Float, UInt8

from hfmoe.doctor.artefacts import (
    Quantised,
    Rhythm,
    estimate_noise,
    find_quantisation,
    find_rhythm,
    quality_of,
)
from hfmoe.doctor.duplicates import small_copy
from hfmoe.image.files import FileFacts, read_8bit, read_facts, read_luma_table

WINDOW = 512
"""Side of the middle part that is measured."""

LARGE = 2**24
"""Images of more pixels are decoded one at a time, whatever the number of threads."""

_SAME = 3
"""Qualities this close are one: tables are rounded, and pixels tell only of some steps."""

_large_images = threading.Lock()


@dataclass(frozen=True)
class ImageMeasures:
    """An image file that could be read: its header, and measures of its 8-bit pixels.

    `pixels` is a hash of all decoded values, `copy` a small gray copy, `table_quality` that of a JPEG file's
    own table.
    """

    path: Path
    facts: FileFacts
    pixels: str
    copy: UInt8[np.ndarray, "32 32"]
    rhythm: Rhythm
    quantised: Quantised | None
    table_quality: int | None
    noise: float

    def quality(self) -> int | None:
        """Return the JPEG quality of the table, or of the pixels where that is clearly worse, or None."""
        seen = self.quantised.quality if self.quantised else None
        if self.table_quality is None or (seen is not None and seen < self.table_quality - _SAME):
            return seen
        return self.table_quality


@dataclass(frozen=True)
class Unreadable:
    """A file that could not be read, and why."""

    path: Path
    reason: str


def measure_image(path: Path) -> ImageMeasures | Unreadable:
    """Measure one image file; whatever is wrong with it is given back, not raised."""
    try:
        facts = read_facts(path)
        large = facts.height * facts.width > LARGE
        with _large_images if large else nullcontext():
            return _measured(path, facts, pixels_of(path))
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        return Unreadable(path, str(error) or type(error).__name__)


def pixels_of(path: Path) -> UInt8[np.ndarray, "h w c"]:
    """Decode a file to 8 bits, channels last."""
    return rearrange(read_8bit(path).numpy(), "c h w -> h w c")


def _measured(path: Path, facts: FileFacts, image: UInt8[np.ndarray, "h w c"]) -> ImageMeasures:
    facts = facts._replace(height=image.shape[0], width=image.shape[1])
    luma = luma_of(middle(image, WINDOW))
    table = read_luma_table(path)
    return ImageMeasures(
        path=path,
        facts=facts,
        pixels=_hash(image),
        copy=small_copy(luma_of(thinned(image, 1024))),
        rhythm=find_rhythm(luma),
        quantised=find_quantisation(luma),
        table_quality=None if table is None else quality_of(table),
        noise=estimate_noise(luma),
    )


def _hash(image: UInt8[np.ndarray, "h w c"]) -> str:
    digest = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
    for row in range(0, len(image), 256):
        digest.update(np.ascontiguousarray(image[row : row + 256]).data)
    return digest.hexdigest()


_WEIGHTS = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def luma_of(image: UInt8[np.ndarray, "h w c"]) -> Float[np.ndarray, "h w"]:
    """Full-range BT.601 luma in [0, 255], JPEG's; of one channel, that channel."""
    if image.shape[-1] == 1:
        return image[..., 0].astype(np.float32)
    return image.astype(np.float32) @ _WEIGHTS


def corner(shape: tuple[int, ...], side: int) -> tuple[int, int]:
    """Row and column where the middle part of at most `side` x `side` begins, on the grid of JPEG blocks."""
    top, left = ((length - side) // 16 * 8 if length > side else 0 for length in shape[:2])
    return top, left


def middle(image: np.ndarray, side: int) -> np.ndarray:
    """The middle of an image of rows and columns, at most `side` x `side`, from its `corner` on."""
    top, left = corner(image.shape, side)
    return image[top : top + side, left : left + side]


def thinned(image: UInt8[np.ndarray, "h w c"], side: int) -> UInt8[np.ndarray, "H W c"]:
    """Every n-th row and column, so that no side is much above `side`."""
    step_y, step_x = (max(1, length // side) for length in image.shape[:2])
    return image[::step_y, ::step_x]
