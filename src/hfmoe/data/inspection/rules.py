"""Measures of photos turned into findings."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from hfmoe.data.inspection.findings import (
    LEAST_RHYTHM,
    LOWEST_QUALITY,
    MOST_NOISE,
    SMALL_SIDE,
    Finding,
    Kind,
    found,
)
from hfmoe.data.inspection.likeness import groups, near_pairs, stack
from hfmoe.data.inspection.looks import Failure, Look
from hfmoe.data.inspection.resampling import scales_of


def judge_photos(looks: Sequence[Look], failures: Sequence[Failure], *, room: int | None) -> list[Finding]:
    """Find what is wrong with photos by themselves and among each other.

    `room` is the side in target pixels that the largest patch takes; None where no recipe tells.
    """
    return [
        *(found("unreadable", [failure.path], failure.reason) for failure in failures),
        *_smallness(looks, room),
        *(finding for look in looks for finding in _damage(look)),
        *_likeness(looks),
        *_mixtures(looks),
    ]


def judge_leaks(trained: Sequence[Look], validation: Sequence[Look]) -> Iterator[Finding]:
    """Find validation photos that are among the photos trained on, or resemble them."""
    by_pixels = {look.pixels: look for look in trained}
    rest = []
    for look in validation:
        twin = by_pixels.get(look.pixels)
        if twin is None:
            rest.append(look)
        else:
            yield found("leak", [look.path, twin.path], "the same pixels")
    pairs = near_pairs(stack([look.copy for look in rest]), stack([look.copy for look in trained]))
    for first, second in pairs:
        yield found("near-leak", [rest[first].path, trained[second].path], "nearly the same picture")


def _damage(look: Look) -> Iterator[Finding]:
    """What one photo has suffered; JPEG blocks have rhythms too, so damaged ones need twice the strength."""
    quality = look.quality()
    damaged = quality is not None and quality <= LOWEST_QUALITY
    if look.rhythm.strength > LEAST_RHYTHM * (1 + damaged):
        scales = " or ".join(f"x{scale:g}" for scale in scales_of(look.rhythm) if scale < 6)
        yield found("enlarged", [look.path], f"by about {scales}", look.rhythm.strength)
    if quality is not None and damaged:
        source = "its tables" if look.table_quality == quality else "its pixels"
        yield found("jpeg", [look.path], f"quality {quality} by {source}", quality)
    if look.noise > MOST_NOISE:
        yield found("noisy", [look.path], f"deviation {look.noise:.1f} of 255", look.noise)


def _smallness(looks: Sequence[Look], room: int | None) -> Iterator[Finding]:
    least = SMALL_SIDE if room is None else room
    small = [look for look in looks if min(look.facts.height, look.facts.width) < least]
    if room is not None and looks and len(small) == len(looks):
        yield found("no-room", [], f"all {len(looks)} photos have a side below {room} pixels", room)
    why = f"below {least} pixels" if room is None else f"below the {room} of the largest patch"
    for look in small:
        size = f"{look.facts.width} x {look.facts.height}"
        yield found("small", [look.path], f"{size}, {why}", min(look.facts.height, look.facts.width))


def _likeness(looks: Sequence[Look]) -> Iterator[Finding]:
    same: dict[str, list[Look]] = defaultdict(list)
    for look in looks:
        same[look.pixels].append(look)
    for twins in same.values():
        if len(twins) > 1:
            yield found("duplicate", [look.path for look in twins], "the same pixels", len(twins))
    single = [twins[0] for twins in same.values()]
    for group in groups(near_pairs(stack([look.copy for look in single]))):
        paths = [single[index].path for index in group]
        yield found("near-duplicate", paths, "nearly the same picture", len(group))


def _mixtures(looks: Sequence[Look]) -> Iterator[Finding]:
    sorts: dict[Kind, Callable[[Look], str]] = {
        "mixed-depth": lambda look: f"{look.facts.bits} bits",
        "mixed-channels": lambda look: {1: "gray", 3: "colour"}.get(look.facts.channels, "other colours"),
        "mixed-profile": lambda look: f"profile {look.facts.profile}",
    }
    for kind, sort in sorts.items():
        counts = Counter(map(sort, looks))
        if len(counts) > 1:
            yield _mixture(kind, counts, looks, sort)
    clear = [look.path for look in looks if look.facts.has_alpha]
    if clear:
        yield found("alpha", clear, f"{len(clear)} of {len(looks)} files", len(clear))


def _mixture(kind: Kind, counts: Counter[str], looks: Iterable[Look], sort: Callable[[Look], str]) -> Finding:
    usual = counts.most_common(1)[0][0]
    odd: list[Path] = [look.path for look in looks if sort(look) != usual]
    words = ", ".join(f"{count} with {name}" for name, count in counts.most_common())
    return found(kind, odd, words, len(odd))
