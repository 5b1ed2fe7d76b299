"""A picture that grows on the disk block by block, and then becomes an image file in one pass."""

import errno
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyvips
from jaxtyping import Shaped

from hfmoe.image.picture import ImageError, Picture
from hfmoe.image.rawtiff import HEAD, finish
from hfmoe.image.writing import BYTES, FORMATS, dress, save_image, stored_bits, stored_samples

WHOLE = ("WebP", "AVIF")
"""Formats whose encoders hold the whole image."""


class Roll(NamedTuple):
    """Pages below each other: the height of each, and the delays and loops of an animation."""

    height: int
    delays: tuple[int, ...] = ()
    loop: int = 0

    def mark(self, image: pyvips.Image) -> pyvips.Image:
        """An image that encoders take for pages."""
        image = image.copy()
        image.set_type(pyvips.GValue.gint_type, "page-height", self.height)
        if self.delays:
            image.set_type(pyvips.GValue.array_int_type, "delay", list(self.delays))
            image.set_type(pyvips.GValue.gint_type, "loop", self.loop)
        return image


class Canvas:
    """The levels of a picture as `target` will store them, raw, row by row in the file `path`.

    like: a picture of the same channels, alpha, depth, profile and metadata. An existing file of the right
    size is kept, so that it can be gone on with. Raises ImageError when the disk has no room for it and its
    image file.
    """

    def __init__(self, path: Path, target: Path, like: Picture, *, height: int, width: int) -> None:
        self.path, self._target, self._like = path, target, like
        self._bits = stored_bits(target, like)
        self._kind = np.dtype(np.float32 if self._bits == 32 else np.uint16 if self._bits > 8 else np.uint8)
        self.height, self.width = height, width
        self._bands = len(like.colour) + (like.alpha is not None)
        try:
            self._file = path.open("r+b" if path.exists() else "w+b", buffering=0)
        except OSError as error:
            raise ImageError(f"{target}: cannot be written ({error.strerror})") from error
        self.is_new = os.fstat(self._file.fileno()).st_size < self.size
        if self.is_new:
            self._claim()

    @property
    def size(self) -> int:
        """Bytes of the raw file."""
        return HEAD + self.height * self.width * self._bands * self._kind.itemsize

    def _claim(self) -> None:
        """Take the space on the disk now rather than after hours."""
        free = shutil.disk_usage(self.path.parent).free
        if free < 2 * self.size:
            needed = f"{2 * self.size / 2**20:,.1f} MiB for the raw result and its file"
            self.drop()
            raise ImageError(
                f"{self._target}: {needed} are more than the {free / 2**20:,.1f} MiB on the disk"
            )
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self._file.fileno(), 0, self.size)
            self._file.truncate(self.size)
        except OSError as error:
            self.drop()
            raise ImageError(f"{self._target}: cannot be written ({error.strerror})") from error

    def put(self, block: Picture, row: int, column: int) -> None:
        """Store a part of the picture whose first pixel is at row and column. ImageError: disk, or NaN."""
        try:
            samples: Shaped[np.ndarray, "h w bands"] = stored_samples(block, bits=self._bits)
            pixel = self._bands * self._kind.itemsize
            for index, line in enumerate(samples):
                self._file.seek(HEAD + ((row + index) * self.width + column) * pixel)
                if self._file.write(line.tobytes()) != line.nbytes:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ImageError(f"{self._target}: cannot be written ({reason})") from error

    def flush(self) -> None:
        """Have the disk hold all that was put."""
        os.fsync(self._file.fileno())

    def save(self, *, quality: int, roll: Roll | None = None) -> None:
        """Write the image file in one pass, as pages of a roll where one is given. Raises ImageError."""
        form = FORMATS[self._target.suffix.lower()]
        name: Any = os.fsencode(self.path)
        try:
            finish(
                self._file,
                height=self.height,
                width=self.width,
                bands=self._bands,
                sample=self._kind.itemsize,
                alpha=self._like.alpha is not None,
                real=self._bits == 32,
            )
            source = pyvips.Source.new_from_file(name)
            image = pyvips.Image.tiffload_source(source, access="sequential", fail_on="error")
            image = dress(image, self._like, gray_allowed=form.gray)
            image = roll.mark(image) if roll else image
        except (pyvips.Error, OSError) as error:
            reason = " ".join(str(error).split())
            raise ImageError(f"{self._target}: cannot be written ({reason})") from error
        save_image(self._target, image, self._like, quality=quality)

    def close(self) -> None:
        """Keep the file for another time."""
        self._file.close()

    def drop(self) -> None:
        """Close and remove the file."""
        self.close()
        self.path.unlink(missing_ok=True)


def encoder_bytes(target: Path, *, height: int, width: int, bands: int) -> int:
    """Memory that a format's encoder takes for the image as a whole; 0 where it goes row by row."""
    if FORMATS[target.suffix.lower()].name not in WHOLE:
        return 0
    return 2 * height * width * bands * BYTES["uchar"]
