"""Files of several pages: TIFF, and animated WebP and GIF, read page by page."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyvips

from hfmoe.image.picture import ImageError, Picture
from hfmoe.image.reading import MAX_PIXELS, Plain, make_plain, open_header, read_arrays, to_floats
from hfmoe.image.sniffing import count_frames, sniff
from hfmoe.image.tiff import full_pages

MOST_PIXELS = 2**40
"""Of all pages together; each is held to `MAX_PIXELS`."""


class Pages(NamedTuple):
    """A file's pages: numbers of those that are no smaller copies, and how an animation plays.

    delays: milliseconds of each page; loop: times it plays, 0 for ever. A TIFF has neither.
    """

    path: Path
    kind: str
    numbers: tuple[int, ...]
    delays: tuple[int, ...] = ()
    loop: int = 0

    def pictures(self) -> Iterator[Picture]:
        """Each page. Raises ImageError as `read_picture`."""
        if self.kind == "tiff":
            for number in self.numbers:
                yield read_arrays(self.path, page=number)
        else:
            yield from _frames(self)


def open_pages(path: Path) -> Pages:
    """The pages of a file; of one that has a single picture, that. Raises ImageError as `read_picture`."""
    kind, numbers = _listed(path)
    if kind not in ("webp", "gif"):
        return Pages(path, kind, numbers)
    image = _roll(path)
    count = image.height // image.get_page_height()
    if not count or not numbers:
        raise ImageError(f"{path}: holds no frame")
    if kind == "gif" and count != len(numbers):
        raise ImageError(f"{path}: {len(numbers)} frames, of which {count} can be read")
    delays: Any = image.get("delay") if count > 1 and image.get_typeof("delay") else []
    loop: Any = image.get("loop") if image.get_typeof("loop") else 0
    return Pages(path, kind, tuple(range(count)), tuple(int(delay) for delay in delays), int(loop))


def _listed(path: Path) -> tuple[str, tuple[int, ...]]:
    """The kind of a file, and the numbers of the pages that it lists itself."""
    try:
        kind = sniff(path, pages=True)
        with path.open("rb") as file:
            if kind == "tiff":
                return kind, tuple(full_pages(file))
            return kind, tuple(range(count_frames(file) if kind == "gif" else 1))
    except OSError as error:
        raise ImageError(f"{path}: {error.strerror or error}") from error
    except ImageError:
        raise
    except ValueError as error:
        raise ImageError(f"{path}: damaged or cut off ({error})") from error


def _roll(path: Path) -> pyvips.Image:
    """All frames of an animation below each other."""
    image = open_header(path, max_pixels=MOST_PIXELS, options={"n": -1})
    height = image.get_page_height()
    if height * image.width > MAX_PIXELS:
        size = f"{image.width} x {height}"
        raise ImageError(f"{path}: {size} pixels are more than the limit of {MAX_PIXELS}")
    return image


def _frames(pages: Pages) -> Iterator[Picture]:
    image = _roll(pages.path)
    height = image.get_page_height()
    number = 0
    try:
        plain = make_plain(pages.path, image, pages.kind)
        region = pyvips.Region.new(plain.image)
        shape = (height, plain.image.width, plain.image.bands)
        for number in pages.numbers:
            yield _frame(plain, region.fetch(0, number * height, shape[1], height), shape)
    except pyvips.Error as error:
        raise ImageError(f"{pages.path}: page {number + 1} is damaged or cut off") from error


def _frame(plain: Plain, content: Any, shape: tuple[int, int, int]) -> Picture:
    bands = to_floats(np.frombuffer(content, np.uint8).reshape(shape), top=plain.top)
    colour, alpha = (bands[:-1], bands[-1:]) if plain.has_alpha else (bands, None)
    return Picture(colour, alpha, plain.bits, plain.icc, plain.metadata)
