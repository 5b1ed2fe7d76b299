"""Files of several pages, restored page by page into one file that keeps them all."""

from contextlib import closing, suppress
from itertools import chain
from pathlib import Path
from typing import Any

from hfmoe.batch.large import Large
from hfmoe.batch.settings import Settings
from hfmoe.image.canvas import Canvas, Roll
from hfmoe.image.files import PAGED_SUFFIXES, ImageError, Picture, check_writable, strip
from hfmoe.image.pages import Pages, open_pages
from hfmoe.infer.restorer import Restorer
from hfmoe.infer.tiled import OnTile


def goes_by_pages(source: Path, target: Path, settings: Settings) -> bool:
    """Whether a file has several pages that are wanted, or is a GIF, which nothing else reads.

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
    like = strip(first) if settings.strip else first
    height, width = (side * restorer.scale for side in first.colour.shape[-2:])
    check_writable(target, like, height=height, width=width, quality=settings.quality)
    target.parent.mkdir(parents=True, exist_ok=True)
    raw = target.with_name(f".{target.name[:200]}.part")
    try:
        canvas = Canvas(raw, target, like, height=height * len(pages.numbers), width=width)
        with closing(canvas):
            for number, picture in enumerate(chain((first,), pictures)):
                _check_alike(pages, number, picture, first)
                restored = _restored(picture, restorer, settings, number, len(pages.numbers), on_tile)
                canvas.put(restored, number * height, 0)
            canvas.save(quality=settings.quality, roll=Roll(height, pages.delays, pages.loop))
    finally:
        with suppress(OSError):
            raw.unlink(missing_ok=True)
    return Large(width, height)


def _restored(
    picture: Picture, restorer: Restorer, settings: Settings, number: int, count: int, on_tile: OnTile | None
) -> Picture:
    options: dict[str, Any] = {
        name: getattr(settings, name) for name in ("tile", "effort", "strength", "ensemble")
    }
    restored = restorer.picture(picture, **options)
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
