"""Folders of photos as uint8 pairs (degraded, target), decoded once and kept in RAM or in a mapped file."""

import hashlib
import json
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
from einops import rearrange
from jaxtyping import Int, UInt8

from hfmoe.data.cache import cache_key, open_cache, write_cache
from hfmoe.image.files import list_images, read_gray8, read_rgb8
from hfmoe.image.resize import resize


class DataError(ValueError):
    """A folder or a photo that cannot be trained on."""


class Photo(NamedTuple):
    """One photo, channels last: what the network sees and what it should give back (H = scale * h)."""

    degraded: UInt8[np.ndarray, "h w c"]
    target: UInt8[np.ndarray, "H W c"]


@dataclass(frozen=True)
class PhotoSet:
    """Photos that share a scale, with the sizes of their degraded sides (height, width) in one array.

    `identity` tells sets apart by the names and sizes of their files; "" where it is unknown.
    """

    photos: tuple[Photo, ...]
    scale: int
    sizes: Int[np.ndarray, "n 2"]
    identity: str = ""

    @classmethod
    def of(cls, photos: Sequence[Photo], *, scale: int, identity: str = "") -> "PhotoSet":
        """Collect photos of one scale."""
        sizes = np.array([photo.degraded.shape[:2] for photo in photos], dtype=np.int64).reshape(-1, 2)
        return cls(tuple(photos), scale, sizes, identity)

    def smaller_than(self, patch: int) -> int:
        """How many photos have no room for a patch of `patch` x `patch` degraded pixels."""
        return int((self.sizes.min(axis=1, initial=np.iinfo(np.int64).max) < patch).sum())


def shrink(path: Path, *, scale: int, channels: int) -> Photo:
    """Read a photo, crop it to a multiple of the scale and shrink it (MATLAB bicubic, rounded to uint8)."""
    image = (read_rgb8 if channels == 3 else read_gray8)(path)
    height, width = (size - size % scale for size in image.shape[-2:])
    if not height or not width:
        raise DataError(f"{path}: {image.shape[-1]} x {image.shape[-2]} pixels are too few for scale {scale}")
    target = image[:, :height, :width]
    degraded = target
    if scale > 1:
        small = resize(target.float() / 255, scale=Fraction(1, scale), round_to_uint8=True)
        degraded = (small * 255).round().clamp(0, 255).byte()
    return Photo(*(np.ascontiguousarray(rearrange(x, "c h w -> h w c").numpy()) for x in (degraded, target)))


def read_photos(
    folders: Sequence[Path],
    *,
    scale: int,
    channels: int = 3,
    cache: Path | None = None,
    threads: int | None = None,
) -> PhotoSet:
    """Read every image of the folders once, in threads.

    With `cache` the decoded pixels lie in one memory-mapped file there, found again by the names, sizes and
    times of the images; without it they lie in RAM. Raises DataError for a folder without images, and
    ImageError, naming it, for a folder that is missing or an image that cannot be read.
    """
    files = [file for folder in folders for file in _images(Path(folder))]
    identity = identity_of(files)
    if cache is None:
        photos = list(_shrunk(files, scale=scale, channels=channels, threads=threads))
        return PhotoSet.of(photos, scale=scale, identity=identity)
    key = cache_key(files, scale=scale, channels=channels)
    arrays = open_cache(cache, key)
    if arrays is None:
        write_cache(cache, key, _shrunk(files, scale=scale, channels=channels, threads=threads))
        arrays = open_cache(cache, key)
    if arrays is None:
        raise DataError(f"the cache in {cache} changed while it was written")
    return PhotoSet.of([Photo(*pair) for pair in arrays], scale=scale, identity=identity)


def identity_of(files: Sequence[Path]) -> str:
    """Tell whether two sets of files hold the same photos in the same order, wherever they lie."""
    facts = [(file.name, file.stat().st_size) for file in files]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]


def _images(folder: Path) -> list[Path]:
    files = list_images(folder)
    if not files:
        raise DataError(f"no images in {folder}")
    return files


def _shrunk(files: Sequence[Path], *, scale: int, channels: int, threads: int | None) -> Iterator[Photo]:
    """Photos in the order of the files, with no more than a few decoded ahead of the reader."""
    threads = threads or os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        ahead: deque[Future[Photo]] = deque()
        try:
            for file in files:
                ahead.append(pool.submit(shrink, file, scale=scale, channels=channels))
                if len(ahead) > 2 * threads:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
