"""Decoded photos in one flat memory-mapped file, for sets larger than RAM and for a quick second start."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

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


def write_cache(folder: Path, key: str, photos: Iterable[tuple[Pixels, Pixels] | None]) -> None:
    """Write pairs of uint8 images one after another, then the index that makes the file valid.

    A pair of twice the same image is written once; one that is missing keeps its place.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pixels, index = _files(folder, key)
    unfinished = pixels.with_suffix(f".{os.getpid()}.part")
    shapes = []
    try:
        with unfinished.open("wb") as file:
            for pair in photos:
                images = pair or ()
                images = images[:1] if pair and pair[0] is pair[1] else images
                for image in images:
                    file.write(np.ascontiguousarray(image).data)
                shapes.append([image.shape for image in images])
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(pixels)
    finally:
        unfinished.unlink(missing_ok=True)
    listing = index.with_suffix(f".{os.getpid()}.part")
    listing.write_text(json.dumps(shapes))
    listing.replace(index)


def open_cache(folder: Path, key: str) -> list[tuple[Pixels, Pixels] | None] | None:
    """Map the pairs of a cache without reading them; None where there is no complete one."""
    pixels, index = _files(folder, key)
    if not index.exists() or not pixels.exists():
        return None
    shapes = json.loads(index.read_text())
    if pixels.stat().st_size != sum(int(np.prod(shape)) for pair in shapes for shape in pair):
        return None
    flat = np.memmap(pixels, dtype=np.uint8, mode="r")
    offset = 0
    pairs = []
    for pair in shapes:
        views = []
        for shape in pair:
            size = int(np.prod(shape))
            views.append(np.asarray(flat[offset : offset + size]).reshape(shape))
            offset += size
        pairs.append((views[0], views[-1]) if views else None)
    return pairs


def _files(folder: Path, key: str) -> tuple[Path, Path]:
    return folder / f"{key}.u8", folder / f"{key}.json"
