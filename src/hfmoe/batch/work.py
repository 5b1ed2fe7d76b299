"""One picture of a job: read, restored and written; whole, part by part, or page by page."""

import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from hfmoe.batch.large import Large, goes_by_parts, restore_large
from hfmoe.batch.manifest import Identity, identify
from hfmoe.batch.planning import Job
from hfmoe.batch.settings import Settings
from hfmoe.image.damaged import read_kept
from hfmoe.image.files import (
    PAGED_SUFFIXES,
    ImageError,
    Picture,
    check_writable,
    read_arrays,
    read_facts,
    write_picture,
)
from hfmoe.image.pages import Pages, open_pages
from hfmoe.image.picture import PagesError
from hfmoe.image.streaming import Canvas, Roll
from hfmoe.image.target_size import Size, reduce_picture, result_size
from hfmoe.infer.restorer import Restorer
from hfmoe.infer.tiled import OnTile

OnBegin = Callable[[Job], OnTile | None]
"""Called before the network sees a picture; what it gives is told of every tile."""


class Result(NamedTuple):
    """The size of a result on the disk, its source as it was when it was read, and the seconds it took.

    missing: of a damaged source, the share of its rows that were not decoded.
    """

    width: int
    height: int
    read: Identity
    seconds: float
    missing: float | None = None


class OpenedPicture(NamedTuple):
    """A picture that was read or restored, what its source was then, and when.

    Large: it is on the disk; a function: it is read and written part by part or page by page as it is
    restored.
    """

    picture: Picture | Large | Callable[..., Large]
    identity: Identity
    began: float


@dataclass(frozen=True)
class PictureWork:
    """The steps of a job's pictures; model: what tells it from others. Sources and targets are paths."""

    restorer: Restorer
    settings: Settings
    model: str = ""
    on_begin: OnBegin | None = None

    def cost(self, job: Job) -> int:
        """Bytes of a picture and its result, as floats and as the levels of a file."""
        try:
            facts = read_facts(Path(job.source))
        except (ValueError, OSError):
            return 0
        samples = facts.height * facts.width * (facts.channels + facts.has_alpha)
        return samples * 6 * (1 + self.restorer.scale**2)

    def read(self, job: Job) -> OpenedPicture:
        """Decode a source and see that its result can be written."""
        try:
            return self._open(job)
        except PagesError as error:
            raise PagesError(f"{error}; --pages restores each") from error

    def _open(self, job: Job) -> OpenedPicture:
        source, target = Path(job.source), Path(job.target)
        began = time.monotonic()
        identity = identify(source)
        if goes_by_pages(source, target, self.settings):
            return OpenedPicture(restore_pages, identity, began)
        if goes_by_parts(source, self.restorer, self.settings):
            return OpenedPicture(partial(restore_large, key=(self.model, identity)), identity, began)
        picture = (read_kept if self.settings.damaged == "keep" else read_arrays)(source)
        picture = self.settings.prepared(picture, model=self.restorer.facts.name)
        size = sized(source, picture, self.restorer, self.settings)
        check_writable(target, picture, **size._asdict(), quality=self.settings.quality)
        return OpenedPicture(picture, identity, began)

    def restore(self, job: Job, opened: OpenedPicture) -> OpenedPicture:
        """Run the network."""
        on_tile = self.on_begin(job) if self.on_begin else None
        if not isinstance(opened.picture, Picture):
            assert callable(opened.picture)
            large = opened.picture(
                Path(job.source), Path(job.target), self.restorer, self.settings, on_tile=on_tile
            )
            return opened._replace(picture=large)
        size = sized(Path(job.source), opened.picture, self.restorer, self.settings)
        restored = self.restorer.picture(opened.picture, on_tile=on_tile, **self.settings.of_network())
        return opened._replace(
            picture=reduce_picture(restored, size, separate=self.settings.alpha == "separate")
        )

    def write(self, job: Job, restored: OpenedPicture) -> Result:
        """Encode a result."""
        result, target = restored.picture, Path(job.target)
        missing = None
        if isinstance(result, Picture):
            missing = result.missing
            target.parent.mkdir(parents=True, exist_ok=True)
            write_picture(target, result, quality=self.settings.quality)
            result = Large(result.colour.shape[2], result.colour.shape[1])
        assert isinstance(result, Large)
        return Result(*result, restored.identity, time.monotonic() - restored.began, missing)


def sized(source: Path, picture: Picture, restorer: Restorer, settings: Settings) -> Size:
    """Size of the result of a picture. ImageError where the model does not enlarge that much."""
    height, width = picture.colour.shape[-2:]
    try:
        return result_size(settings.size, height, width, scale=restorer.scale)
    except ValueError as error:
        raise ImageError(f"{source}: {error}") from error


def goes_by_pages(source: Path, target: Path, settings: Settings) -> bool:
    """True where a file has several pages that are wanted, or is a GIF, which nothing else reads.

    Raises ImageError when its target's format holds a single picture, and as `read_picture`.
    """
    if not settings.pages:
        return False
    pages = open_pages(source)
    if len(pages.numbers) < 2 and pages.kind != "gif":
        return False
    if len(pages.numbers) > 1 and target.suffix.lower() not in PAGED_SUFFIXES:
        known = ", ".join(PAGED_SUFFIXES)
        raise ImageError(
            f"{target}: holds one picture, {source} has {len(pages.numbers)} pages; {known} hold them"
        )
    return True


def restore_pages(
    source: Path, target: Path, restorer: Restorer, settings: Settings, *, on_tile: OnTile | None = None
) -> Large:
    """Restore each page of a file; delays and loop of an animation stay. Gives the size of a page.

    Each page is by itself: an animation may flicker where the network sees noise. Raises ImageError when
    pages differ in size or kind, and as `read_picture` and `write_picture`.
    """
    pages = open_pages(source)
    pictures = pages.pictures()
    first = next(pictures)
    like = settings.prepared(first, model=restorer.facts.name)
    size = sized(source, first, restorer, settings)
    height, width = size
    check_writable(target, like, height=height, width=width, quality=settings.quality)
    target.parent.mkdir(parents=True, exist_ok=True)
    raw = target.with_name(f".{target.name[:200]}.part")
    try:
        canvas = Canvas(raw, target, like, height=height * len(pages.numbers), width=width)
        with closing(canvas):
            for number, picture in enumerate(chain((first,), pictures)):
                _check_alike(pages, number, picture, first)
                restored = _restored(picture, restorer, settings, number, len(pages.numbers), on_tile)
                reduced = reduce_picture(restored, size, separate=settings.alpha == "separate")
                canvas.put(reduced, number * height, 0)
            canvas.save(quality=settings.quality, roll=Roll(height, pages.delays, pages.loop))
    finally:
        with suppress(OSError):
            raw.unlink(missing_ok=True)
    return Large(width, height)


def _restored(
    picture: Picture, restorer: Restorer, settings: Settings, number: int, count: int, on_tile: OnTile | None
) -> Picture:
    restored = restorer.picture(settings.prepared(picture), **settings.of_network())
    if on_tile:
        on_tile(number + 1, count)
    return restored


def _check_alike(pages: Pages, number: int, picture: Picture, first: Picture) -> None:
    kinds = [
        (*page.colour.shape, f"{page.bits} bits", "no alpha" if page.alpha is None else "alpha")
        for page in (picture, first)
    ]
    if kinds[0] != kinds[1]:
        both = " and ".join(" x ".join(map(str, kind[:3])) + f", {kind[3]}, {kind[4]}" for kind in kinds)
        raise ImageError(f"{pages.path}: page {number + 1} and the first must be of one kind ({both})")
