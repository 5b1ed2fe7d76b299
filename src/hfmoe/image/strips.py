"""Rows of an image file from the top down, for images that memory does not hold."""

import logging
from pathlib import Path

import numpy as np
import pyvips
from jaxtyping import Float, Shaped

from hfmoe.image.picture import ImageError
from hfmoe.image.reading import Plain, is_turned, make_plain, open_header, to_floats
from hfmoe.image.writing import reason_of, refusal_of

LARGEST = 2**40
"""Pixels of an image that is taken region by region: more than any disk holds of its result."""
TILE = 256
"""Side of the tiles of a scratch file."""
WHOLE = ("webp", "heif")
"""Formats whose decoders hold the whole image."""
WORTH_SAYING = 2**27
"""Bytes that a decoder holds from which on that is logged."""

_log = logging.getLogger(__name__)


class Strips:
    """An open image file, upright; what `rows` gives is what `read_picture` would hold there.

    A file whose orientation turns it is copied to `scratch` first, uncompressed in tiles, so that its columns
    can be read as rows. Progressive JPEG, interlaced PNG, WebP and AVIF are held in memory by
    their decoders, which is logged. Raises ImageError as `read_picture`, but not for size below 2**40 pixels.
    """

    def __init__(self, path: Path, *, scratch: Path) -> None:
        self.path, self._scratch = path, scratch
        header = open_header(path, max_pixels=LARGEST)
        loader = str(header.get("vips-loader")).split("load")[0]
        self._turned = is_turned(header)
        if _held_whole(header, loader):
            size = header.width * header.height * header.bands
            if size >= WORTH_SAYING:
                held = f"{size / 2**30:.1f} GiB"
                _log.warning("%s: its decoder holds the whole image in memory, some %s", path, held)
        try:
            if self._turned:
                header.tiffsave(str(scratch), tile=True, tile_width=TILE, tile_height=TILE, bigtiff=True)
        except pyvips.Error as error:
            full = scratch.name in str(error.detail) or refusal_of(scratch) is not None
            reason = reason_of(error, place=scratch) if full else ""
            self.close()
            if full:
                raise ImageError(f"{scratch}: cannot be written ({reason})") from error
            raise _damaged(path, error) from error
        self._loader = loader
        self.rewind()

    def rewind(self) -> None:
        """Begin again with the first row."""
        try:
            self.plain = self._open(self._loader)
            self._region = pyvips.Region.new(self.plain.image)
            self._row = 0
        except pyvips.Error as error:
            raise _damaged(self.path, error) from error

    def _open(self, loader: str) -> Plain:
        image = open_header(self.path, max_pixels=LARGEST)
        if not self._turned:
            return make_plain(self.path, image, loader)
        copy = pyvips.Image.tiffload(str(self._scratch), access="random")
        for name in image.get_fields():
            if name in ("vips-loader", "icc-profile-data", "orientation") or name.endswith("-data"):
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
            raise _damaged(self.path, error) from error
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
    return loader in WHOLE or bool(image.get_typeof("interlaced") and image.get("interlaced"))


def _damaged(path: Path, error: pyvips.Error) -> ImageError:
    lines = [line.strip() for line in str(error.detail).splitlines() if line.strip()]
    return ImageError(f"{path}: damaged or cut off ({lines[0] if lines else error})")
