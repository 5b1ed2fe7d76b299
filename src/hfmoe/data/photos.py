"""Photos as uint8 pairs (degraded, target), decoded once and kept in RAM or in a memory-mapped file."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from einops import rearrange
from jaxtyping import Int, UInt8
from torch import Tensor

from hfmoe.data.camera_processing import CameraProcessing
from hfmoe.data.prefetch import in_threads
from hfmoe.data.sources import DataError, PhotoLocation, Source, find_sources
from hfmoe.image.files import ImageError
from hfmoe.image.resize import resize
from hfmoe.runtime.files import atomic, write_atomically

NAMED = 5
"""Broken photos that an error names, where there are more."""


class Photo(NamedTuple):
    """One photo, channels last: what the network sees and what it should give back (H = scale * h).

    teacher: what another network made of the degraded side, None where nobody asked one.
    """

    degraded: UInt8[np.ndarray, "h w c"]
    target: UInt8[np.ndarray, "H W c"]
    teacher: UInt8[np.ndarray, "H W c"] | None = None


@dataclass(frozen=True)
class PhotoSet:
    """Photos that share a scale, with the sizes of their degraded sides (height, width) in one array.

    `identity` tells sets apart by the names and sizes of their files; "" where unknown. `given`, `names` and
    `tasks` say of each photo whether its degraded side came with it, what it is called, and the kind of
    task that degraded it where that is known; `teachers` holds the facts of those who labelled them, by name,
    with the share of the photos; `unreadable` says which were left out and why.
    """

    photos: tuple[Photo, ...]
    scale: int
    sizes: Int[np.ndarray, "n 2"]
    identity: str = ""
    given: tuple[bool, ...] = ()
    names: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    teachers: Mapping[str, Any] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()

    def task(self, photo: int) -> str:
        """Return the kind of task that degraded a photo, "" where it is not known."""
        return self.tasks[photo] if self.tasks else ""

    @property
    def labelled(self) -> bool:
        """True where a teacher's result came with any photo."""
        return any(photo.teacher is not None for photo in self.photos)

    @classmethod
    def of(
        cls,
        photos: Sequence[Photo],
        *,
        scale: int,
        identity: str = "",
        sources: Sequence[Source] = (),
        unreadable: Sequence[str] = (),
    ) -> "PhotoSet":
        """Collect photos of one scale, read from `sources`; without these they count as clean."""
        sizes = np.array([photo.degraded.shape[:2] for photo in photos], dtype=np.int64).reshape(-1, 2)
        given = tuple(source.degraded is not None for source in sources) or (False,) * len(photos)
        names = tuple(source.target.name for source in sources) or tuple(map(str, range(len(photos))))
        tasks = tuple(str(source.record.get("task", "")) for source in sources) or ("",) * len(photos)
        teachers = teachers_of(sources)
        return cls(tuple(photos), scale, sizes, identity, given, names, tasks, teachers, tuple(unreadable))

    def smaller_than(self, patch: int) -> int:
        """Count the photos that have no room for a patch of `patch` x `patch` degraded pixels."""
        return int((self.sizes.min(axis=1, initial=np.iinfo(np.int64).max) < patch).sum())


def teachers_of(sources: Sequence[Source]) -> dict[str, Any]:
    """Return the facts of the teachers that labelled photos, with the share of the photos of each."""
    found: dict[str, Any] = {}
    for source in sources:
        if source.teacher is not None:
            facts = dict(source.record.get("teacher") or {"name": "unknown"})
            known = found.setdefault(str(facts.pop("name", "unknown")), {**facts, "share": 0})
            known["share"] += 1
    for facts in found.values():
        facts["share"] = round(facts["share"] / len(sources), 4)
    return found


def prepare(
    source: Source, *, scale: int, channels: int, processing: CameraProcessing | None = None
) -> Photo:
    """Read a photo, crop it to a multiple of the scale, apply the camera's `processing` and shrink it.

    It is shrunk by MATLAB's bicubic and rounded to uint8. A pair is taken as it came, but where it has a
    teacher's result of a larger scale, a multiple of this one, that and the target are shrunk alike;
    DataError where sizes do not fit.
    """
    image = source.target.read(channels=channels)
    if source.degraded is not None:
        degraded = source.degraded.read(channels=channels)
        if source.teacher is None:
            _check_sizes(source, degraded.shape, image.shape, scale=scale)
            return Photo(_rows_first(degraded), _rows_first(image))
        teacher = source.teacher.read(channels=channels)
        times = max(1, image.shape[-1] // (degraded.shape[-1] * scale))
        for side in (image, teacher):
            _check_sizes(source, degraded.shape, side.shape, scale=scale * times)
        return Photo(_rows_first(degraded), *(_rows_first(_shrunk(side, times)) for side in (image, teacher)))
    height, width = (size - size % scale for size in image.shape[-2:])
    if not height or not width:
        size = f"{image.shape[-1]} x {image.shape[-2]}"
        raise DataError(f"{source.target.path}: {size} pixels are too few for scale {scale}")
    target = image[:, :height, :width]
    target = target if processing is None else processing.applied(target, name=source.target.name)
    clean = _rows_first(target)
    if scale == 1:
        return Photo(clean, clean)
    return Photo(_rows_first(_shrunk(target, scale)), clean)


def _shrunk(image: UInt8[Tensor, "c H W"], times: int) -> UInt8[Tensor, "c h w"]:
    if times == 1:
        return image
    small = resize(image.float() / 255, scale=Fraction(1, times), round_to_uint8=True)
    return (small * 255).round().clamp(0, 255).byte()


def _check_sizes(source: Source, degraded: Sequence[int], target: Sequence[int], *, scale: int) -> None:
    if list(target[-2:]) != [side * scale for side in degraded[-2:]]:
        small, large = (f"{shape[-1]} x {shape[-2]}" for shape in (degraded, target))
        rule = f"the target must have {scale} times the sides" if scale > 1 else "sizes must be equal"
        raise DataError(f"{source.degraded} is {small} pixels and {source.target} is {large}; {rule}")


def _rows_first(image: UInt8[Tensor, "c h w"]) -> UInt8[np.ndarray, "h w c"]:
    return np.ascontiguousarray(rearrange(image, "c h w -> h w c").numpy())


def read_photos(
    places: Sequence[PhotoLocation],
    *,
    scale: int,
    channels: int = 3,
    cache: Path | None = None,
    threads: int | None = None,
    unreadable: float = 0.0,
    processing: CameraProcessing | None = None,
) -> PhotoSet:
    """Read every image of folders, paired folders and tar shards once, in threads.

    The clean ones go through the camera's `processing`. With `cache` the pixels lie in one mapped file there,
    known again by the names, sizes and times of the images; without it they lie in RAM. Images that cannot
    be read are left out up to the share `unreadable` of all; more of them are an ImageError or DataError that
    names them, as are a folder that is missing, one without images, and pairs that do not fit.
    """
    sources = find_sources(places)
    errors: list[ImageError] = []
    most = int(unreadable * len(sources))
    prepare_one = partial(_tried, scale=scale, channels=channels, processing=processing)

    def prepared(sources: Sequence[Source]) -> Iterator[Photo | None]:
        # closed here and now: left to the collector, the pool could be joined by one of its own threads
        with closing(in_threads(prepare_one, sources, threads=threads)) as outcomes:
            yield from _without_broken(outcomes, errors, most=most, share=unreadable, count=len(sources))

    if cache is None:
        photos = list(prepared(sources))
    else:
        facts = [_file_facts(source) for source in sources]
        key = cache_key(facts, scale=scale, channels=channels, changed=processing and processing.as_data())
        photos = open_cache(cache, key)
        lacking = [
            source for source, photo in zip(sources, photos or (), strict=bool(photos)) if photo is None
        ]
        if photos is None or any(prepared(lacking)):
            errors.clear()
            write_cache(cache, key, prepared(sources))
            photos = open_cache(cache, key)
        if photos is None:
            raise DataError(f"the cache in {cache} changed while it was written")
    read = [source for source, photo in zip(sources, photos, strict=True) if photo]
    return PhotoSet.of(
        [photo for photo in photos if photo],
        scale=scale,
        identity=identity_of(read),
        sources=read,
        unreadable=list(map(str, errors)),
    )


def _without_broken(
    outcomes: Iterable[Photo | ImageError], errors: list[ImageError], *, most: int, share: float, count: int
) -> Iterator[Photo | None]:
    """Return None in place of images that could not be read, and note why; an error for more than `most`."""
    for outcome in outcomes:
        if isinstance(outcome, Photo):
            yield outcome
            continue
        errors.append(outcome)
        if len(errors) > most:
            if share == 0:
                raise outcome
            reasons = "; ".join(map(str, errors[:NAMED]))
            rule = f"faults.unreadable {share:g} lets {most} of {count} photos be left out"
            raise DataError(
                f"{reasons}; {rule}: raise it in the recipe, or see `hfmoe doctor`, which names all"
            )
        yield None


def identity_of(sources: Sequence[Source]) -> str:
    """Return whether two sets of images hold the same photos in the same order, wherever they lie."""
    facts = [[fact for image in source.images() for fact in (image.name, image.size)] for source in sources]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]


def _file_facts(source: Source) -> list[str | int]:
    """Facts that change when the files of a photo do."""
    facts: list[str | int] = []
    for image in source.images():
        facts += [str(image.path.resolve()), image.size, image.path.stat().st_mtime_ns]
        facts += [] if image.offset is None else [image.name, image.offset]
    return facts


def _tried(
    source: Source, *, scale: int, channels: int, processing: CameraProcessing | None
) -> Photo | ImageError:
    try:
        return prepare(source, scale=scale, channels=channels, processing=processing)
    except ImageError as error:
        return error


Pixels = UInt8[np.ndarray, "_ _ _"]

LAYOUT = "hfmoe photo cache 1"


def cache_key(
    facts: Sequence[Sequence[str | int]],
    *,
    scale: int,
    channels: int,
    changed: Mapping[str, Any] | None = None,
) -> str:
    """Name a set of photos by facts such as the paths, sizes and times of its files and how they are
    prepared: `changed` says, in plain values, what else is done to them."""
    text = json.dumps([LAYOUT, scale, channels, facts, *([changed] if changed else [])])
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def write_cache(folder: Path, key: str, photos: Iterable[tuple[Pixels | None, ...] | None]) -> None:
    """Write the uint8 images of photos one after another, then the index that makes the file valid.

    A pair of twice the same image is written once; a photo that is missing keeps its place.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pixels, index = _files(folder, key)
    shapes = []
    with atomic(pixels) as unfinished, unfinished.open("wb") as file:
        for photo in photos:
            images = [image for image in photo or () if image is not None]
            images = images[:1] if len(images) == 2 and images[0] is images[1] else images
            for image in images:
                file.write(np.ascontiguousarray(image).data)
            shapes.append([image.shape for image in images])
    write_atomically(index, json.dumps(shapes))


def open_cache(folder: Path, key: str) -> list[Photo | None] | None:
    """Map the photos of a cache without reading them; None where there is no complete one."""
    pixels, index = _files(folder, key)
    if not index.exists() or not pixels.exists():
        return None
    shapes = json.loads(index.read_text())
    if pixels.stat().st_size != sum(int(np.prod(shape)) for pair in shapes for shape in pair):
        return None
    flat = np.memmap(pixels, dtype=np.uint8, mode="r")
    offset = 0
    photos: list[Photo | None] = []
    for sides in shapes:
        views = []
        for shape in sides:
            size = int(np.prod(shape))
            views.append(np.asarray(flat[offset : offset + size]).reshape(shape))
            offset += size
        photos.append(Photo(*(views * 2 if len(views) == 1 else views)) if views else None)
    return photos


def _files(folder: Path, key: str) -> tuple[Path, Path]:
    return folder / f"{key}.u8", folder / f"{key}.json"
