"""Paired folders: partners by stem, sizes, shift, correlation and brightness of degraded and target."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8

from hfmoe.doctor.duplicates import small_copy
from hfmoe.doctor.findings import (
    LEAST_LIKENESS,
    MOST_BRIGHTNESS,
    MOST_SHIFT,
    Finding,
    found,
)
from hfmoe.doctor.images import Unreadable, corner, luma_of, middle, pixels_of
from hfmoe.image.files import list_images
from hfmoe.image.resize import resize

WINDOW = 512


class Alignment(NamedTuple):
    """Alignment of a degraded image with its target.

    `dx` and `dy` say by how many degraded pixels it lies to the right of and below where it belongs;
    `likeness` is the correlation of small copies, 1 where they are plain; `brightness` the largest
    difference of a channel's mean, in levels of 255.
    """

    dx: float
    dy: float
    likeness: float
    brightness: float


def align(
    degraded: UInt8[np.ndarray, "h w c"], target: UInt8[np.ndarray, "H W k"], *, scale: int
) -> Alignment:
    """Compare a degraded image with its target of `scale` times its size, which is not checked here."""
    small, large = luma_of(degraded), luma_of(target)
    top, left = corner(small.shape, WINDOW)
    part = middle(small, WINDOW)
    height, width = part.shape
    wanted = large[top * scale : (top + height) * scale, left * scale : (left + width) * scale]
    shift = find_shift(part, _shrunk(wanted, scale))
    return Alignment(*shift, _likeness(small, large), _brightness(degraded, target))


def find_shift(image: Float[np.ndarray, "h w"], reference: Float[np.ndarray, "h w"]) -> tuple[float, float]:
    """Find (dx, dy) by which an image is moved against a reference, to 1/20 pixel, by phase correlation.

    Frequencies above 0.3 cycles a pixel, where noise and aliases are, are left out; plain images, and those
    with a side below 16, give (0, 0).
    """
    if min(image.shape) < _LEAST_SIDE:
        return 0.0, 0.0
    taper = np.outer(*(np.hanning(side + 2)[1:-1] for side in image.shape))
    cross = np.fft.fft2((image - image.mean()) * taper)
    cross = cross * np.conj(np.fft.fft2((reference - reference.mean()) * taper))
    size = np.abs(cross)
    if size.max() < 1e-3 * image.size:
        return 0.0, 0.0
    rows, columns = (np.fft.fftfreq(side) for side in image.shape)
    low = np.hypot(rows[:, None], columns[None]) < _HIGHEST
    cross = np.where(low, cross / np.maximum(size, 1e-9 * size.max()) ** _WHITENING, 0)
    peak = np.real(np.fft.ifft2(cross))
    dy, dx = np.unravel_index(int(peak.argmax()), peak.shape)
    around = [
        _wrapped(int(place), side) + np.arange(-_FINE, _FINE + 1) / _FINE
        for place, side in zip((dy, dx), peak.shape, strict=True)
    ]
    left = np.exp(2j * np.pi * around[0][:, None] * rows[None])
    right = np.exp(2j * np.pi * columns[:, None] * around[1][None])
    fine = np.real(left @ cross @ right)
    y, x = np.unravel_index(int(fine.argmax()), fine.shape)
    return float(around[1][x]), float(around[0][y])


class Partners(NamedTuple):
    """Files of one stem: what the network would see and what it should give back."""

    degraded: Path
    target: Path


@dataclass(frozen=True)
class PairMeasures:
    """A pair that could be read: sizes (height, width), and how it fits where they allow a comparison."""

    partners: Partners
    degraded: tuple[int, int]
    target: tuple[int, int]
    scale: int
    alignment: Alignment | None


def match(degraded: Path, target: Path) -> tuple[list[Partners], list[Finding]]:
    """Match the images of two folders by stem, and find those without a partner or with several.

    Raises ImageError for a folder that is missing.
    """
    sides = [_by_stem(folder) for folder in (degraded, target)]
    findings = []
    for files, other, place in ((sides[0], sides[1], target), (sides[1], sides[0], degraded)):
        for stem, paths in files.items():
            if stem not in other:
                findings.append(found("missing-partner", paths, f"no {stem}.* in {place}"))
            elif len(paths) > 1:
                findings.append(
                    found("missing-partner", paths, f"{len(paths)} files of one stem", len(paths))
                )
    both = sorted(stem for stem in sides[0] if stem in sides[1])
    return [Partners(sides[0][stem][0], sides[1][stem][0]) for stem in both], findings


def measure_pair(partners: Partners, *, scale: int) -> PairMeasures | Unreadable:
    """Measure one pair; whatever is wrong with it is given back, not raised."""
    path = partners.degraded
    try:
        degraded = pixels_of(path)
        path = partners.target
        target = pixels_of(path)
        sizes = (degraded.shape[0], degraded.shape[1]), (target.shape[0], target.shape[1])
        fits = sizes[1] == (scale * sizes[0][0], scale * sizes[0][1])
        return PairMeasures(partners, *sizes, scale, align(degraded, target, scale=scale) if fits else None)
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        return Unreadable(path, str(error) or type(error).__name__)


def pair_findings(pairs: Sequence[PairMeasures | Unreadable]) -> Iterator[Finding]:
    """Find what is wrong with pairs."""
    for pair in pairs:
        if isinstance(pair, Unreadable):
            yield found("unreadable", [pair.path], pair.reason)
        elif pair.alignment is None:
            yield _wrong_scale(pair)
        else:
            yield from _alignment_findings(pair, pair.alignment)


def _wrong_scale(pair: PairMeasures) -> Finding:
    (height, width), (tall, wide) = pair.degraded, pair.target
    detail = f"{width} x {height} and {wide} x {tall} are not x{pair.scale}"
    return found("wrong-scale", pair.partners, detail, tall / height)


def _alignment_findings(pair: PairMeasures, alignment: Alignment) -> Iterator[Finding]:
    if alignment.likeness < LEAST_LIKENESS:
        yield found("mismatched", pair.partners, f"correlation {alignment.likeness:.2f}", alignment.likeness)
        return
    shift = max(abs(alignment.dx), abs(alignment.dy))
    if shift > MOST_SHIFT:
        detail = f"degraded lies {alignment.dx:+.2f} right, {alignment.dy:+.2f} down, in its pixels"
        yield found("misaligned", pair.partners, detail, shift)
    if alignment.brightness > MOST_BRIGHTNESS:
        detail = f"channel means differ by {alignment.brightness:.1f} of 255"
        yield found("brightness", pair.partners, detail, alignment.brightness)


def _by_stem(folder: Path) -> dict[str, list[Path]]:
    files: dict[str, list[Path]] = {}
    for path in list_images(folder):
        files.setdefault(path.stem, []).append(path)
    return files


_FINE = 20

_LEAST_SIDE = 16

_HIGHEST = 0.3

_WHITENING = 0.7


def _wrapped(place: int, side: int) -> int:
    return place - side if place > side // 2 else place


def _shrunk(luma: Float[np.ndarray, "h w"], scale: int) -> Float[np.ndarray, "_ _"]:
    if scale == 1:
        return luma
    return resize(torch.from_numpy(luma)[None], scale=Fraction(1, scale))[0].numpy()


def _likeness(degraded: Float[np.ndarray, "h w"], target: Float[np.ndarray, "H W"]) -> float:
    first, second = (small_copy(luma).astype(np.float64) for luma in (degraded, target))
    if min(first.std(), second.std()) < 1:
        return 1.0
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def _brightness(degraded: UInt8[np.ndarray, "h w c"], target: UInt8[np.ndarray, "H W k"]) -> float:
    if degraded.shape[-1] != target.shape[-1]:
        degraded, target = (luma_of(image)[..., None] for image in (degraded, target))
    means = (rearrange(image, "h w c -> (h w) c").mean(axis=0) for image in (degraded, target))
    return float(np.abs(np.subtract(*means)).max())
