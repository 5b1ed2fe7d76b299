"""Sources of photos: folders, paired folders, and tar shards in WebDataset's layout."""

import json
import tarfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import Any, NamedTuple

from jaxtyping import UInt8
from torch import Tensor

from hfmoe.image.encoded import decode_gray8, decode_rgb8
from hfmoe.image.files import READ_SUFFIXES, list_images, read_gray8, read_rgb8, say_not_taken
from hfmoe.image.sniffing import content_of_stream

DEGRADED_NAMES = ("degraded", "lq", "lr", "noisy", "input")
TARGET_NAMES = ("target", "hq", "hr", "clean", "gt")
TEACHER_NAMES = ("teacher",)
"""Names between key and suffix of a shard's members: 0001.lq.png and 0001.hq.png are a pair, to which
0001.teacher.png may add what another network made of 0001.lq.png, and 0001.json the name of its task."""


BLOCK = tarfile.BLOCKSIZE
RECORD = ".json"


class DataError(ValueError):
    """A folder or a photo that cannot be trained on."""


class PairedFolders(NamedTuple):
    """Two folders whose images belong together by the names before their suffixes."""

    degraded: Path
    target: Path


PhotoLocation = Path | PairedFolders


@dataclass(frozen=True)
class ImageAt:
    """An image file, or, with an offset, `size` bytes of an archive. `name` is a file's or a member's."""

    path: Path
    name: str
    size: int
    offset: int | None = None

    def __str__(self) -> str:
        return str(self.path) if self.offset is None else f"{self.path}:{self.name}"

    def read(self, *, channels: int) -> UInt8[Tensor, "c h w"]:
        """Decode the image. Raises ImageError naming it, and DataError for an archive that is cut off."""
        if self.offset is None:
            return (read_rgb8 if channels == 3 else read_gray8)(self.path)
        with self.path.open("rb") as file:
            file.seek(self.offset)
            data = file.read(self.size)
        if len(data) < self.size:
            raise DataError(f"{self}: the archive is cut off")
        return (decode_rgb8 if channels == 3 else decode_gray8)(data, str(self))


class Source(NamedTuple):
    """Location of a photo, of its degraded side where that comes with it, and of a teacher's result for that.

    record: what is known of how they were made: "task", its kind, and "teacher", a table of facts.
    """

    target: ImageAt
    degraded: ImageAt | None = None
    teacher: ImageAt | None = None
    record: Mapping[str, Any] = MappingProxyType({})

    def images(self) -> list[ImageAt]:
        """List the images of a photo."""
        return [image for image in self[:3] if isinstance(image, ImageAt)]


def find_sources(places: Sequence[PhotoLocation]) -> list[Source]:
    """List the photos of folders, paired folders, and tar files or patterns of them such as shards/*.tar.

    Raises DataError where a place holds no photos or a photo lacks its pair.
    """
    found: list[Source] = []
    for place in places:
        if isinstance(place, PairedFolders):
            found += paired(place)
        elif is_shard(place):
            for path in shards(place):
                found += members(path)
        else:
            found += [Source(image) for image in files(place)]
    return found


def files(folder: Path) -> list[ImageAt]:
    """List the image files of a folder; DataError where there are none."""
    paths = list_images(folder)
    if not paths:
        raise DataError(f"no images in {folder}")
    return [ImageAt(path, path.name, path.stat().st_size) for path in paths]


def paired(folders: PairedFolders) -> list[Source]:
    """Match the images of two folders by name, in the order of the targets."""
    found = [files(folder) for folder in folders]
    sides = [{image.path.stem: image for image in images} for images in found]
    for folder, every, images, other in zip(folders, found, sides, reversed(sides), strict=True):
        if len(images) < len(every):
            raise DataError(f"{folder} has several images of one name that differ in their suffix alone")
        lonely = sorted(images.keys() - other.keys())
        if lonely:
            rest = f" (and {len(lonely) - 1} more)" if len(lonely) > 1 else ""
            missing = folders.target if folder == folders.degraded else folders.degraded
            raise DataError(f"{images[lonely[0]]} has no image of its name in {missing}{rest}")
    degraded, target = sides
    return [Source(image, degraded[stem]) for stem, image in target.items()]


def is_shard(place: Path) -> bool:
    """Return whether a path names tar files, one or by a pattern."""
    return place.suffix == ".tar"


def shards(place: Path) -> list[Path]:
    """List the tar files of a pattern in the last part of a path."""
    found = sorted(place.parent.glob(place.name)) if set("*?[") & set(place.name) else [place]
    if not found:
        raise DataError(f"no tar files match {place}")
    return found


def members(path: Path) -> list[Source]:
    """List the photos and pairs of a tar file in the order of their first members."""
    try:
        with tarfile.open(path, "r:") as archive:
            entries = archive.getmembers()
            records = [entry for entry in entries if entry.isfile() and entry.name.endswith(RECORD)]
            known = {entry.name.removesuffix(RECORD): _record(archive, entry) for entry in records}
            say_not_taken(path, list(_not_taken(archive, entries)))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    except tarfile.TarError as error:
        raise DataError(f"{path} is no uncompressed tar file, or damaged ({error})") from error
    end = max((entry.offset_data + -(-entry.size // BLOCK) * BLOCK for entry in entries), default=0)
    if path.stat().st_size < end + BLOCK:
        raise DataError(f"{path} is cut off: it has no end mark after its {len(entries)} members")
    groups: dict[str, dict[str, ImageAt]] = defaultdict(dict)
    for entry in filter(tarfile.TarInfo.isfile, entries):
        folder, _, base = entry.name.rpartition("/")
        key, _, extension = base.partition(".")
        role, _, suffix = extension.lower().rpartition(".")
        if key and f".{suffix}" in READ_SUFFIXES:
            image = ImageAt(path, entry.name, entry.size, entry.offset_data)
            groups[f"{folder}/{key}".lstrip("/")][role] = image
    if not groups:
        raise DataError(f"no images in {path}")
    return [_source(path, key, images, known.get(key, {})) for key, images in groups.items()]


def _not_taken(archive: tarfile.TarFile, entries: Sequence[tarfile.TarInfo]) -> Iterator[str]:
    """Members that are images by their content and not by their suffix."""
    for entry in entries:
        path = Path(PurePath(entry.name).name)
        if not entry.isfile() or path.suffix.lower() in (*READ_SUFFIXES, RECORD):
            continue
        file = archive.extractfile(entry)
        if file and (kind := content_of_stream(file, path)):
            yield f"{entry.name} ({kind})"


def _record(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> Mapping[str, Any]:
    """Read what a shard says of a sample; nothing where that is no table."""
    file = archive.extractfile(entry)
    try:
        record = json.load(file) if file else {}
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _source(path: Path, key: str, images: dict[str, ImageAt], record: Mapping[str, Any]) -> Source:
    sides = [
        next((images[role] for role in roles if role in images), None)
        for roles in (TARGET_NAMES, DEGRADED_NAMES, TEACHER_NAMES)
    ]
    target, degraded, teacher = sides
    if len(images) == 1 and degraded is None and teacher is None:
        return Source(next(iter(images.values())))
    if target is not None and degraded is not None and len(images) == 3 - sides.count(None):
        return Source(target, degraded, teacher, record)
    names = ", ".join(image.name for image in images.values())
    pairs = f"one of {'/'.join(DEGRADED_NAMES)} and one of {'/'.join(TARGET_NAMES)}, and a teacher's result"
    raise DataError(f"{path}: {key} holds {names}; it must be one image, or {pairs}")
