"""Images that memory does not hold: read strip by strip, looked over once, written block by block."""

import errno
import logging
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyvips
from jaxtyping import Float, Shaped

from hfmoe.image.alpha import STEP, coarse_rows, coarse_surroundings
from hfmoe.image.decoders import refusal, with_pixels
from hfmoe.image.headers import LEFT_OUT
from hfmoe.image.metadata import field_names
from hfmoe.image.picture import ImageError, Picture
from hfmoe.image.reading import (
    Plain,
    check_range,
    check_values,
    flatten_plain,
    is_turned,
    make_plain,
    open_header,
    to_floats,
)
from hfmoe.image.target_size import Size, reduce_rows, row_parts
from hfmoe.image.tiff import HEAD, wrap_samples
from hfmoe.image.writing import (
    BYTES,
    FORMATS,
    dress,
    reason_of,
    refusal_of,
    save_image,
    stored_bits,
    stored_samples,
)

LARGEST = 2**40
"""Pixels of an image that is taken region by region: more than any disk holds of its result."""
TILE = 256
"""Side of the tiles of a scratch file."""
DECODED_WHOLE = ("webp", "heif")
"""Formats whose decoders hold the whole image."""
ENCODED_WHOLE = ("WebP", "AVIF")
"""Formats whose encoders hold the whole image."""
WORTH_SAYING = 2**27
"""Bytes that a decoder holds from which on that is logged."""

ROWS = 16 * STEP
"""Rows of an image that are looked over together."""

_log = logging.getLogger(__name__)


class Strips:
    """An open image file, upright; what `rows` gives is what `read_picture` would hold there.

    A file whose orientation turns it is copied to `scratch` first, uncompressed in tiles, so that its columns
    can be read as rows. Progressive JPEG, interlaced PNG, WebP and AVIF are held in memory by
    their decoders, which is logged. Over a background, RGB in [0, 1], alpha is gone. Raises ImageError as
    `read_picture`, but not for size below 2**40 pixels.
    """

    def __init__(
        self, path: Path, *, scratch: Path, background: tuple[float, float, float] | None = None
    ) -> None:
        self.path, self._scratch, self._background = path, scratch, background
        header = open_header(path, max_pixels=LARGEST)
        loader = str(header.get("vips-loader")).split("load")[0]
        self._turned, self._loader = is_turned(header), loader
        if _held_whole(header, loader):
            size = header.width * header.height * header.bands
            if size >= WORTH_SAYING:
                held = f"{size / 2**30:.1f} GiB"
                _log.warning("%s: its decoder holds the whole image in memory, some %s", path, held)
        try:
            if self._turned:
                with_pixels(path, header).tiffsave(
                    str(scratch), tile=True, tile_width=TILE, tile_height=TILE, bigtiff=True
                )
        except pyvips.Error as error:
            full = scratch.name in str(error.detail) or refusal_of(scratch) is not None
            reason = reason_of(error, place=scratch) if full else ""
            self.close()
            if full:
                raise ImageError(f"{scratch}: cannot be written ({reason})") from error
            raise _damaged(path, error, loader) from error
        self.rewind()

    def rewind(self) -> None:
        """Begin again with the first row."""
        try:
            self.plain = self._open(self._loader)
            if self._background is not None and self.plain.has_alpha:
                self.plain = flatten_plain(self.plain, self._background)
            self._region = pyvips.Region.new(self.plain.image)
            self._row = 0
        except pyvips.Error as error:
            raise _damaged(self.path, error, self._loader) from error

    def _open(self, loader: str) -> Plain:
        image = open_header(self.path, max_pixels=LARGEST)
        if not self._turned:
            return make_plain(self.path, with_pixels(self.path, image), loader)
        copy = pyvips.Image.tiffload(str(self._scratch), access="random")
        for name in field_names(image):
            if name in ("vips-loader", "icc-profile-data", "orientation", LEFT_OUT) or name.endswith("-data"):
                copy.set_type(image.get_typeof(name), name, image.get(name))
        turned = copy.copy(xres=image.xres, yres=image.yres).autorot()
        return make_plain(self.path, turned, loader)

    @property
    def height(self) -> int:
        """Rows of the image."""
        return self.plain.image.height

    @property
    def width(self) -> int:
        """Columns of the image."""
        return self.plain.image.width

    @property
    def bands(self) -> int:
        """Colours and alpha."""
        return self.plain.image.bands

    def rows(self, count: int) -> Shaped[np.ndarray, "rows w bands"]:
        """The samples of the next rows, at most so many. Raises ImageError where the file is damaged."""
        count = min(count, self.height - self._row)
        try:
            content = self._region.fetch(0, self._row, self.width, count)
        except pyvips.Error as error:
            raise _damaged(self.path, error, self._loader) from error
        self._row += count
        kind = {8: np.uint8, 16: np.uint16, 32: np.float32}[self.plain.bits]
        return np.frombuffer(content, dtype=kind).reshape(count, self.width, self.bands)

    def floats(self, samples: Shaped[np.ndarray, "h w bands"]) -> Float[np.ndarray, "bands h w"]:
        """Samples in [0, 1]."""
        return to_floats(samples, top=self.plain.top)

    def close(self) -> None:
        """Remove the scratch file."""
        self._scratch.unlink(missing_ok=True)


def _held_whole(image: pyvips.Image, loader: str) -> bool:
    return loader in DECODED_WHOLE or bool(image.get_typeof("interlaced") and image.get("interlaced"))


def _damaged(path: Path, error: pyvips.Error, loader: str) -> ImageError:
    return ImageError(f"{path}: {refusal(path, error, loader)}")


class Survey(NamedTuple):
    """Extent of the colours, and, of an image with alpha, the visible colours around hidden ones."""

    low: float
    high: float
    around: Float[np.ndarray, "1 c y x"] | None

    def stand_in(self, strips: Strips) -> Picture:
        """A picture of two pixels with what the file says, to ask whether a format can hold it."""
        plain = strips.plain
        channels = strips.bands - plain.has_alpha
        colour = np.tile(np.array([self.low, self.high], np.float32), (channels, 1, 1))
        alpha = np.ones((1, 1, 2), np.float32) if plain.has_alpha else None
        return Picture(colour, alpha, plain.bits, plain.icc, plain.metadata)


def survey(strips: Strips) -> Survey:
    """Go once through an image of floats or with alpha. Raises ImageError for floats as `read_picture`."""
    low, high, outside, levels = float("inf"), float("-inf"), 0, []
    is_float, has_alpha = strips.plain.bits == 32, strips.plain.has_alpha
    for _ in range(0, strips.height, ROWS):
        values = strips.floats(strips.rows(ROWS))
        colour = values[:-1] if has_alpha else values
        if is_float:
            check_values(strips.path, values, values[-1] if has_alpha else None)
            low, high = min(low, float(colour.min())), max(high, float(colour.max()))
            outside += int(((colour < 0) | (colour > 1)).sum())
        if has_alpha:
            within = colour.clip(0, 1) if is_float else colour
            levels.append(coarse_rows(within[None], values[None, -1:]))
    if is_float:
        share = outside / (strips.height * strips.width * (strips.bands - has_alpha))
        check_range(strips.path, low, high, outside=share)
    around = coarse_surroundings(levels) if has_alpha else None
    return Survey(low, high, around) if is_float else Survey(0.0, 1.0, around)


def needs_survey(strips: Strips) -> bool:
    """True where something of the whole image must be known before its first part."""
    return strips.plain.bits == 32 or strips.plain.has_alpha


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

    def rows(self, first: int, last: int) -> Picture:
        """Some rows of what was put, in the levels that are stored."""
        row = self.width * self._bands * self._kind.itemsize
        self._file.seek(HEAD + first * row)
        content = self._file.read((last - first) * row)
        samples = np.frombuffer(content, self._kind).reshape(last - first, self.width, self._bands)
        top = 1 if self._bits == 32 else (2**self._bits - 1) << (16 - self._bits if self._bits > 8 else 0)
        bands = to_floats(samples, top=top)
        colour, alpha = (bands, None) if self._like.alpha is None else (bands[:-1], bands[-1:])
        return replace(self._like, colour=colour, alpha=alpha)

    def like_of(self, path: Path, size: Size) -> "Canvas":
        """A new canvas of another size for the same image file."""
        path.unlink(missing_ok=True)
        return Canvas(path, self._target, self._like, height=size.height, width=size.width)

    def reduce_into(self, other: "Canvas", *, separate: bool = False) -> None:
        """Put the picture at the size of another canvas into that, part by part."""
        size = Size(other.height, other.width)
        for part in row_parts(self.height, size):
            rows = self.rows(part.first, part.last)
            other.put(reduce_rows(part, rows, size, separate=separate), part.row, 0)

    def flush(self) -> None:
        """Have the disk hold all that was put."""
        os.fsync(self._file.fileno())

    def save(self, *, quality: int, roll: Roll | None = None) -> None:
        """Write the image file in one pass, as pages of a roll where one is given. Raises ImageError."""
        form = FORMATS[self._target.suffix.lower()]
        name: Any = os.fsencode(self.path)
        try:
            wrap_samples(
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
    if FORMATS[target.suffix.lower()].name not in ENCODED_WHOLE:
        return 0
    return 2 * height * width * bands * BYTES["uchar"]
