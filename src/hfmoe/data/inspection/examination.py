"""A whole inspection: every file of every folder looked at once, then judged together."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from hfmoe.data.inspection.findings import SEVERITIES, Finding
from hfmoe.data.inspection.folders import look_into
from hfmoe.data.inspection.looks import Failure, Look, look_at
from hfmoe.data.inspection.pairs import PairLook, Partners, judge_pairs, look_at_pair, match
from hfmoe.data.inspection.report import Inspection, Summary
from hfmoe.data.inspection.rules import judge_leaks, judge_photos
from hfmoe.data.inspection.scan import in_threads


class PairFolders(NamedTuple):
    """Two folders whose files belong together by stem."""

    degraded: Path
    target: Path


@dataclass(frozen=True)
class Sources:
    """What to inspect: photos to train on, pairs, photos to validate on.

    `scale` is the size of a pair's target in sizes of its degraded side, `room` the side in target pixels
    that the largest patch takes, None where no recipe tells.
    """

    photos: tuple[Path, ...] = ()
    pairs: tuple[PairFolders, ...] = ()
    validation: Path | None = None
    scale: int = 1
    room: int | None = None

    def folders(self) -> tuple[str, ...]:
        """Name every folder once."""
        named = [*self.photos, *(folder for pair in self.pairs for folder in pair)]
        return tuple(dict.fromkeys(map(str, [*named, self.validation] if self.validation else named)))


@dataclass
class _Seen:
    """What a scan has gathered so far."""

    trained: list[Look] = field(default_factory=list)
    validation: list[Look] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    pairs: list[PairLook | Failure] = field(default_factory=list)
    count: int = 0


class Examined(NamedTuple):
    """The inspection, and the looks at the photos to train on that it rests on."""

    inspection: Inspection
    trained: tuple[Look, ...]


def inspect(
    sources: Sources, *, on_file: Callable[[int, int], None] | None = None, threads: int | None = None
) -> Examined:
    """Look at every file in threads and judge what was seen; `on_file` hears (done, total).

    A bad file is a finding. Ctrl-C ends the looking: what was seen until then is judged. Raises ImageError
    for a folder that is missing and OSError for one that cannot be listed.
    """
    train, found_train = _images([*sources.photos, *(pair.target for pair in sources.pairs)])
    held, found_held = _images([sources.validation] if sources.validation else [])
    partners, found_pairs = _partners(sources.pairs)
    seen, total = _Seen(), len(train) + len(held) + len(partners)
    with suppress(KeyboardInterrupt):
        _look(seen, train, held, partners, scale=sources.scale, threads=threads, hear=on_file)
    findings = [
        *found_train,
        *found_held,
        *found_pairs,
        *judge_photos(seen.trained, seen.failures, room=sources.room),
        *judge_leaks(seen.trained, seen.validation),
        *judge_pairs(seen.pairs),
    ]
    order = tuple(finding for severity in SEVERITIES for finding in findings if finding.severity == severity)
    report = Inspection(sources.folders(), total, seen.count, Summary.of(seen.trained), order)
    return Examined(report, tuple(seen.trained))


def _look(
    seen: _Seen,
    train: Sequence[Path],
    held: Sequence[Path],
    partners: Sequence[Partners],
    *,
    scale: int,
    threads: int | None,
    hear: Callable[[int, int], None] | None,
) -> None:
    """Fill `seen` with looks at all files; failures of a pair whose target failed already are left out."""
    total = len(train) + len(held) + len(partners)

    def note() -> None:
        seen.count += 1
        if hear is not None:
            hear(seen.count, total)

    for kept, files in ((seen.trained, train), (seen.validation, held)):
        for look in in_threads(look_at, files, threads=threads):
            (kept if isinstance(look, Look) else seen.failures).append(look)  # type: ignore[arg-type]
            note()
    known = {failure.path for failure in seen.failures}
    for pair in in_threads(partial(look_at_pair, scale=scale), partners, threads=threads):
        if not (isinstance(pair, Failure) and pair.path in known):
            seen.pairs.append(pair)
        note()


def _images(folders: Sequence[Path]) -> tuple[list[Path], list[Finding]]:
    images: list[Path] = []
    findings: list[Finding] = []
    for folder in dict.fromkeys(folders):
        files, found = look_into(folder)
        images += files
        findings += found
    return images, findings


def _partners(folders: Sequence[PairFolders]) -> tuple[list[Partners], list[Finding]]:
    partners: list[Partners] = []
    findings: list[Finding] = []
    for pair in folders:
        matched, found = match(*pair)
        partners += matched
        findings += found
    return partners, findings
