"""All that is measured of one image file."""

import hashlib
import threading
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from einops import rearrange
from jaxtyping import UInt8

from hfmoe.data.inspection.compression import Quantised, find_quantisation, quality_of
from hfmoe.data.inspection.likeness import small_copy
from hfmoe.data.inspection.noise import estimate_noise
from hfmoe.data.inspection.resampling import Rhythm, find_rhythm
from hfmoe.data.inspection.sampling import luma_of, middle, thinned
from hfmoe.image.facts import FileFacts, read_facts, read_luma_table
from hfmoe.image.files import read_8bit

WINDOW = 512
"""Side of the middle part that is measured."""

LARGE = 2**24
"""Images of more pixels are decoded one at a time, whatever the number of threads."""

_SAME = 3
"""Qualities this close are one: tables are rounded, and pixels tell only of some steps."""

_large_images = threading.Lock()


@dataclass(frozen=True)
class Look:
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
        """Give the JPEG quality of the file's table, or of its pixels where they tell of a clearly worse one;
        None where neither does."""
        seen = self.quantised.quality if self.quantised else None
        if self.table_quality is None or (seen is not None and seen < self.table_quality - _SAME):
            return seen
        return self.table_quality


@dataclass(frozen=True)
class Failure:
    """A file that could not be read, and why."""

    path: Path
    reason: str


def look_at(path: Path) -> Look | Failure:
    """Measure one image file; whatever is wrong with it is given back, not raised."""
    try:
        facts = read_facts(path)
        large = facts.height * facts.width > LARGE
        with _large_images if large else nullcontext():
            return _measured(path, facts, pixels_of(path))
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        return Failure(path, str(error) or type(error).__name__)


def pixels_of(path: Path) -> UInt8[np.ndarray, "h w c"]:
    """Decode a file to 8 bits, channels last."""
    return rearrange(read_8bit(path).numpy(), "c h w -> h w c")


def _measured(path: Path, facts: FileFacts, image: UInt8[np.ndarray, "h w c"]) -> Look:
    facts = facts._replace(height=image.shape[0], width=image.shape[1])
    luma = luma_of(middle(image, WINDOW))
    table = read_luma_table(path)
    return Look(
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
