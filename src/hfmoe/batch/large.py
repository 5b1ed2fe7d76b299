"""One file part by part: what is done lies on the disk, so that it is gone on with after an interrupt."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from hfmoe.batch.settings import Settings, parse_colour
from hfmoe.image.files import MAX_PIXELS, ImageError, check_writable, read_facts
from hfmoe.image.streaming import LARGEST, Canvas, Strips, Survey, encoder_bytes, needs_survey, survey
from hfmoe.image.target_size import Size, result_size
from hfmoe.infer.memory import CPU, SHARE
from hfmoe.infer.restorer import Restorer
from hfmoe.infer.streaming import Streaming, plan_side, plan_tiling
from hfmoe.infer.tiled import OnTile
from hfmoe.runtime.files import write_atomically

PIXELS_PER_BYTE = 256
"""Above `MAX_PIXELS`, more of them in a byte of a file are taken for a decompression bomb."""


class Large(NamedTuple):
    """The size of a result that is on the disk."""

    width: int
    height: int


class _Places(NamedTuple):
    """Files beside a result while it is made: raw levels, how far they go, a turned source, a reduction."""

    raw: Path
    state: Path
    scratch: Path
    reduced: Path


class _State(NamedTuple):
    """Origin of the raw file (a digest), the side of its tiles, and how many rows of them it holds."""

    key: str
    tile: int
    rows: int


def goes_by_parts(source: Path, restorer: Restorer, settings: Settings) -> bool:
    """True where a file is to be restored part by part: it is asked for, or memory does not hold the whole.

    Raises ImageError as `read_picture`, and for a file that is small for what it claims to hold.
    """
    if settings.stream == "off":
        return False
    facts = read_facts(source, max_pixels=LARGEST)
    if settings.stream == "on":
        return True
    pixels, size = facts.height * facts.width, source.stat().st_size
    if pixels > MAX_PIXELS:
        if pixels > size * PIXELS_PER_BYTE:
            claim = f"{facts.width} x {facts.height} pixels in {size} bytes"
            raise ImageError(f"{source}: {claim} look like a decompression bomb; stream on takes it")
        return True
    if settings.ensemble or settings.tile == "off":
        return False
    samples = pixels * (facts.channels + facts.has_alpha)
    return samples * (4 + 6 * restorer.scale**2) > restorer.free_bytes(CPU) * SHARE


def restore_large(
    source: Path,
    target: Path,
    restorer: Restorer,
    settings: Settings,
    *,
    key: Sequence[object] = (),
    on_tile: OnTile | None = None,
) -> Large:
    """Restore a file of any size into target, with the result that tiles of the same side would have.

    After each row of tiles what is done is on the disk, as `.<target>.part` and `.<target>.state`. A call of
    the same key, settings and sizes goes on there after an interrupt or a kill; an error removes both.
    Raises ImageError for what cannot be read or written or has no room on the disk, ValueError with an
    ensemble.
    """
    if settings.ensemble:
        raise ValueError(f"{source}: an ensemble turns the whole image, which memory does not hold")
    target.parent.mkdir(parents=True, exist_ok=True)
    with _places(target) as places:
        background = None if settings.background is None else parse_colour(settings.background)
        strips = Strips(source, scratch=places.scratch, background=background)
        found = survey(strips) if needs_survey(strips) else None
        if found is not None:
            strips.rewind()
        size = _size(strips, restorer, settings)
        canvas = _canvas(target, places, strips, found, restorer, settings, size)
        about = json.dumps([*key, settings.of_results(), canvas.size, restorer.facts.name], default=list)
        digest = sha256(about.encode()).hexdigest()
        layers = max(1, (strips.bands - strips.plain.has_alpha) // restorer.channels)
        side = plan_side(restorer, free=restorer.free_bytes(restorer.device), layers=layers)
        state = _state(
            places, canvas, digest, settings.tile if isinstance(settings.tile, int) else None, side
        )
        tiling = plan_tiling(restorer, strips.height, strips.width, tile=state.tile)
        separate = settings.alpha == "separate"
        streaming = Streaming(restorer, strips, found, tiling, settings.effort, settings.strength, separate)
        try:
            _fill(canvas, streaming, places.state, state, on_tile)
            _save(canvas, places, size, settings)
        finally:
            canvas.close()
    return Large(size.width, size.height)


def _save(canvas: Canvas, places: _Places, size: Size, settings: Settings) -> None:
    """Write the image file, at another size by way of a second raw file."""
    if size == (canvas.height, canvas.width):
        canvas.save(quality=settings.quality)
        return
    reduced = canvas.like_of(places.reduced, size)
    try:
        canvas.reduce_into(reduced, separate=settings.alpha == "separate")
        reduced.save(quality=settings.quality)
    finally:
        reduced.drop()


def _fill(canvas: Canvas, streaming: Streaming, place: Path, state: _State, on_tile: OnTile | None) -> None:
    """Restore the rows of tiles that the canvas does not hold, and write down each."""

    def put_down(rows: int) -> None:
        canvas.flush()
        write_atomically(place, json.dumps(state._replace(rows=rows)).encode())

    if state.rows < len(streaming.tiling.rows):
        streaming.run(canvas.put, first=state.rows, on_tile=on_tile, on_row=put_down)


@contextmanager
def _places(target: Path) -> Iterator[_Places]:
    """Where the files lie; removed after success and errors, kept after an interrupt but for the scratch."""
    stem = f".{target.name[:200]}"
    places = _Places(
        *(target.with_name(stem + ending) for ending in (".part", ".state", ".turned", ".reduced"))
    )
    try:
        yield places
    except Exception:
        _remove(places)
        raise
    except BaseException:
        _remove((places.scratch, places.reduced))
        raise
    _remove(places)


def _remove(paths: Sequence[Path]) -> None:
    for path in paths:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _canvas(
    target: Path,
    places: _Places,
    strips: Strips,
    found: Survey | None,
    restorer: Restorer,
    settings: Settings,
    size: Size,
) -> Canvas:
    """The raw result; ImageError when the format, memory or the disk cannot take it."""
    like = (found or Survey(0.0, 1.0, None)).stand_in(strips)
    like = settings.prepared(like, model=restorer.facts.name)
    check_writable(target, like, **size._asdict(), quality=settings.quality)
    needed = encoder_bytes(target, **size._asdict(), bands=strips.bands)
    if needed > restorer.free_bytes(CPU):
        form = target.suffix.lower().lstrip(".")
        needs = f"{needed / 2**30:.1f} GiB of memory, more than is free"
        raise ImageError(f"{target}: {form} is written as a whole, which takes {needs}; use PNG or TIFF")
    height, width = strips.height * restorer.scale, strips.width * restorer.scale
    return Canvas(places.raw, target, like, height=height, width=width)


def _size(strips: Strips, restorer: Restorer, settings: Settings) -> Size:
    try:
        return result_size(settings.size, strips.height, strips.width, scale=restorer.scale)
    except ValueError as error:
        raise ImageError(f"{strips.path}: {error}") from error


def is_begun(target: Path) -> bool:
    """True where an interrupted call left a part of a file that a further one goes on with."""
    return target.with_name(f".{target.name[:200]}.state").exists()


def _state(places: _Places, canvas: Canvas, digest: str, wanted: int | None, side: int) -> _State:
    """Progress of an earlier call, or the beginning; wanted: side of the tiles where one was asked for."""
    if not canvas.is_new:
        with suppress(OSError, ValueError, TypeError):
            before = _State(*json.loads(places.state.read_bytes()))
            if before.key == digest and wanted in (None, before.tile):
                return before
    return _State(digest, wanted or side, 0)
