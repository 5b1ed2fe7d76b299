"""Inspection of a whole data set: every file measured once, findings gathered, and the report."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from hfmoe.data.prefetch import in_threads
from hfmoe.data.sources import PairedFolders
from hfmoe.doctor.findings import SEVERITIES, Finding, Severity, found, leak_findings, photo_findings
from hfmoe.doctor.images import ImageMeasures, Unreadable, measure_image
from hfmoe.doctor.pairs import PairMeasures, Partners, match, measure_pair, pair_findings
from hfmoe.image.files import READ_SUFFIXES, list_images


@dataclass(frozen=True)
class Sources:
    """Images to inspect: photos to train on, pairs, photos to validate on.

    `scale` is the size of a pair's target in sizes of its degraded side, `room` the side in target pixels
    that the largest patch takes, None where no recipe tells.
    """

    photos: tuple[Path, ...] = ()
    pairs: tuple[PairedFolders, ...] = ()
    validation: Path | None = None
    scale: int = 1
    room: int | None = None

    def folders(self) -> tuple[str, ...]:
        """Name every folder once."""
        named = [*self.photos, *(folder for pair in self.pairs for folder in pair)]
        return tuple(dict.fromkeys(map(str, [*named, self.validation] if self.validation else named)))


@dataclass(frozen=True)
class Summary:
    """Summary of the readable images: count, megapixels, smallest and largest side, and counts of sorts."""

    images: int
    megapixels: float
    smallest_side: int
    largest_side: int
    formats: dict[str, int]
    depths: dict[str, int]
    channels: dict[str, int]

    @classmethod
    def of(cls, photos: Sequence[ImageMeasures]) -> "Summary":
        """Sum up photos; all is 0 where there are none."""
        facts = [photo.facts for photo in photos]
        sides = [side for fact in facts for side in (fact.height, fact.width)]
        return cls(
            images=len(facts),
            megapixels=round(sum(fact.height * fact.width for fact in facts) / 1e6, 3),
            smallest_side=min(sides, default=0),
            largest_side=max(sides, default=0),
            formats=dict(Counter(fact.format for fact in facts)),
            depths=dict(Counter(str(fact.bits) for fact in facts)),
            channels=dict(Counter(str(fact.channels) for fact in facts)),
        )


@dataclass(frozen=True)
class Inspection:
    """Folders, what their images are, and all findings; `looked_at` below `files` when it was stopped.

    `photos` are the measures of the photos to train on.
    """

    folders: tuple[str, ...]
    files: int
    looked_at: int
    summary: Summary
    findings: tuple[Finding, ...]
    photos: tuple[ImageMeasures, ...] = ()

    def of_severity(self, severity: Severity) -> list[Finding]:
        """Return the findings of one severity, in their order."""
        return [finding for finding in self.findings if finding.severity == severity]

    def as_data(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "folders": list(self.folders),
            "files": self.files,
            "looked_at": self.looked_at,
            "complete": self.looked_at == self.files,
            "summary": vars(self.summary),
            "counts": {severity: len(self.of_severity(severity)) for severity in SEVERITIES},
            "findings": [finding.as_data() for finding in self.findings],
        }


def to_json(data: dict[str, Any]) -> str:
    """Write plain values as indented JSON, without NaN."""
    return json.dumps(data, indent=2, allow_nan=False)


def inspect(
    sources: Sources, *, on_file: Callable[[int, int], None] | None = None, threads: int | None = None
) -> Inspection:
    """Measure every file in threads and gather findings; `on_file` is called with (done, total).

    A bad file is a finding. Ctrl-C ends the measuring: findings are of what was measured until then. Raises
    ImageError for a folder that is missing and OSError for one that cannot be listed.
    """
    train, found_train = _images([*sources.photos, *(pair.target for pair in sources.pairs)])
    held, found_held = _images([sources.validation] if sources.validation else [])
    partners, found_pairs = _partners(sources.pairs)
    seen, total = _Seen(), len(train) + len(held) + len(partners)
    with suppress(KeyboardInterrupt):
        _measure(seen, train, held, partners, scale=sources.scale, threads=threads, on_file=on_file)
    findings = [
        *found_train,
        *found_held,
        *found_pairs,
        *photo_findings(seen.trained, seen.failures, room=sources.room),
        *leak_findings(seen.trained, seen.validation),
        *pair_findings(seen.pairs),
    ]
    order = tuple(finding for severity in SEVERITIES for finding in findings if finding.severity == severity)
    trained = tuple(seen.trained)
    return Inspection(sources.folders(), total, seen.count, Summary.of(trained), order, trained)


@dataclass
class _Seen:
    """Measures gathered so far."""

    trained: list[ImageMeasures] = field(default_factory=list)
    validation: list[ImageMeasures] = field(default_factory=list)
    failures: list[Unreadable] = field(default_factory=list)
    pairs: list[PairMeasures | Unreadable] = field(default_factory=list)
    count: int = 0


def _measure(
    seen: _Seen,
    train: Sequence[Path],
    held: Sequence[Path],
    partners: Sequence[Partners],
    *,
    scale: int,
    threads: int | None,
    on_file: Callable[[int, int], None] | None,
) -> None:
    """Fill `seen` with the measures of all files, a broken target of a pair once."""
    total = len(train) + len(held) + len(partners)

    def note() -> None:
        seen.count += 1
        if on_file is not None:
            on_file(seen.count, total)

    for kept, files in ((seen.trained, train), (seen.validation, held)):
        for image in in_threads(measure_image, files, threads=threads):
            (kept if isinstance(image, ImageMeasures) else seen.failures).append(image)  # type: ignore[arg-type]
            note()
    known = {failure.path for failure in seen.failures}
    for pair in in_threads(partial(measure_pair, scale=scale), partners, threads=threads):
        if not (isinstance(pair, Unreadable) and pair.path in known):
            seen.pairs.append(pair)
        note()


def _images(folders: Sequence[Path]) -> tuple[list[Path], list[Finding]]:
    images: list[Path] = []
    findings: list[Finding] = []
    for folder in dict.fromkeys(folders):
        files, found = list_folder(folder)
        images += files
        findings += found
    return images, findings


def _partners(folders: Sequence[PairedFolders]) -> tuple[list[Partners], list[Finding]]:
    partners: list[Partners] = []
    findings: list[Finding] = []
    for pair in folders:
        matched, found = match(*pair)
        partners += matched
        findings += found
    return partners, findings


def list_folder(folder: Path) -> tuple[list[Path], list[Finding]]:
    """List a folder's images as training reads them, and find what else lies there.

    Raises ImageError for a folder that is missing, OSError for one that cannot be read.
    """
    images = list_images(folder)
    return images, list(_findings(folder, images))


def _findings(folder: Path, images: list[Path]) -> Iterator[Finding]:
    others, below = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                below.append(Path(entry.path))
            elif Path(entry.name).suffix.lower() not in READ_SUFFIXES:
                others.append(Path(entry.path))
    if not images:
        yield found("empty", [folder], f"no file ends in {', '.join(READ_SUFFIXES)}")
    if others:
        yield found("other-files", sorted(others), f"{len(others)} files in {folder}", len(others))
    if below:
        yield found("subfolders", sorted(below), f"{len(below)} in {folder}", len(below))
