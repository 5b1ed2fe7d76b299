"""Folders of pairs: partners by stem, sizes, and how well degraded and target fit."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hfmoe.data.inspection.alignment import Fit, fit_of
from hfmoe.data.inspection.findings import (
    LEAST_LIKENESS,
    MOST_BRIGHTNESS,
    MOST_SHIFT,
    Finding,
    found,
)
from hfmoe.data.inspection.looks import Failure, pixels_of
from hfmoe.image.files import list_images


class Partners(NamedTuple):
    """Files of one stem: what the network would see and what it should give back."""

    degraded: Path
    target: Path


@dataclass(frozen=True)
class PairLook:
    """A pair that could be read: sizes (height, width), and how it fits where they allow a comparison."""

    partners: Partners
    degraded: tuple[int, int]
    target: tuple[int, int]
    scale: int
    fit: Fit | None


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


def look_at_pair(partners: Partners, *, scale: int) -> PairLook | Failure:
    """Measure one pair; whatever is wrong with it is given back, not raised."""
    path = partners.degraded
    try:
        degraded = pixels_of(path)
        path = partners.target
        target = pixels_of(path)
        sizes = (degraded.shape[0], degraded.shape[1]), (target.shape[0], target.shape[1])
        fits = sizes[1] == (scale * sizes[0][0], scale * sizes[0][1])
        return PairLook(partners, *sizes, scale, fit_of(degraded, target, scale=scale) if fits else None)
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        return Failure(path, str(error) or type(error).__name__)


def judge_pairs(looks: Sequence[PairLook | Failure]) -> Iterator[Finding]:
    """Find what is wrong with pairs."""
    for look in looks:
        if isinstance(look, Failure):
            yield found("unreadable", [look.path], look.reason)
        elif look.fit is None:
            yield _wrong_scale(look)
        else:
            yield from _fit(look, look.fit)


def _wrong_scale(look: PairLook) -> Finding:
    (height, width), (tall, wide) = look.degraded, look.target
    detail = f"{width} x {height} and {wide} x {tall} are not x{look.scale}"
    return found("wrong-scale", look.partners, detail, tall / height)


def _fit(look: PairLook, fit: Fit) -> Iterator[Finding]:
    if fit.likeness < LEAST_LIKENESS:
        yield found("mismatched", look.partners, f"correlation {fit.likeness:.2f}", fit.likeness)
        return
    shift = max(abs(fit.dx), abs(fit.dy))
    if shift > MOST_SHIFT:
        detail = f"degraded lies {fit.dx:+.2f} right, {fit.dy:+.2f} down, in its pixels"
        yield found("misaligned", look.partners, detail, shift)
    if fit.brightness > MOST_BRIGHTNESS:
        detail = f"channel means differ by {fit.brightness:.1f} of 255"
        yield found("brightness", look.partners, detail, fit.brightness)


def _by_stem(folder: Path) -> dict[str, list[Path]]:
    files: dict[str, list[Path]] = {}
    for path in list_images(folder):
        files.setdefault(path.stem, []).append(path)
    return files
