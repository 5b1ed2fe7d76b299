"""The protocol of real image pairs: degraded and clean photos of one scene, as files."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hfmoe.evaluate.protocol import EvaluationProtocol, ImagePair, check_scorable, in_unit, originals
from hfmoe.image.files import ImageError, read_8bit


@dataclass(frozen=True)
class Paired(EvaluationProtocol):
    """Degraded images and their targets, `scale` times as large, both in 8 bits.

    With `targets` that folder holds them under the same stems. Without it one folder holds both: the stems
    end in `suffixes`, the degraded one's first (CC: `_real` and `_mean`). `scale` pixels on each side do
    not count where it is more than 1.
    """

    scale: int = 1
    targets: Path | None = None
    suffixes: tuple[str, str] = ("_real", "_mean")

    def __post_init__(self):
        if self.scale < 1:
            raise ValueError(f"scale {self.scale} must be at least 1")
        if self.targets is None and len(set(self.suffixes)) < 2:
            raise ValueError(f"suffixes {self.suffixes} must differ")

    @property
    def name(self) -> str:
        """Name and version, as reports carry it."""
        return f"paired-x{self.scale} v1"

    @property
    def border(self) -> int:
        """As many pixels as the scale enlarges by; none at scale 1."""
        return self.scale if self.scale > 1 else 0

    def pairs(self, folder: Path) -> Iterator[ImagePair]:
        """Yield the pairs by the degraded file's name.

        Raises ImageError for a folder without pairs, a file without its partner, sizes that do not fit.
        """
        for degraded_path, target_path in self._files(folder):
            degraded, target = (in_unit(read_8bit(path)) for path in (degraded_path, target_path))
            check_scorable(target_path, target, border=self.border)
            due = tuple(side * self.scale for side in degraded.shape[-2:])
            if target.shape[-2:] != due:
                sizes = f"{tuple(target.shape[-2:])} must be {due}, {self.scale} times {degraded_path.name}"
                raise ImageError(f"{target_path}: height and width {sizes}")
            if target.shape[1] != degraded.shape[1]:
                raise ImageError(f"{target_path}: gray or colour must be the same as in {degraded_path.name}")
            yield ImagePair(degraded_path.name, degraded, target)

    def _files(self, folder: Path) -> list[tuple[Path, Path]]:
        if self.targets is not None:
            return _partners(originals(folder), originals(self.targets), place=self.targets)
        degraded, target = self.suffixes
        images = originals(folder)
        first, second = ([path for path in images if path.stem.endswith(end)] for end in (degraded, target))
        if not first:
            raise ImageError(f"{folder}: no image's name ends in {degraded!r}")
        return _partners(first, second, place=folder, drop=degraded, add=target)


def _partners(
    degraded: list[Path], targets: list[Path], *, place: Path, drop: str = "", add: str = ""
) -> list[tuple[Path, Path]]:
    """Return each degraded file with the target whose stem is its own with one ending for the other."""
    by_stem: dict[str, Path] = {}
    for path in targets:
        if path.stem in by_stem:
            raise ImageError(f"{path}: {by_stem[path.stem].name} has the same stem; which is the target?")
        by_stem[path.stem] = path
    pairs = []
    for path in degraded:
        stem = path.stem.removesuffix(drop) + add
        if stem not in by_stem:
            raise ImageError(f"{path}: no target {stem!r} in {place}")
        pairs.append((path, by_stem[stem]))
    return pairs
