"""Findings: each kind with its severity, rule and remedy, and the findings that measures of photos give."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from hfmoe.doctor.artefacts import scales_of
from hfmoe.doctor.duplicates import groups, near_pairs, stack
from hfmoe.doctor.images import ImageMeasures, Unreadable

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")

Kind = Literal[
    "empty", "unreadable", "no-room", "leak", "missing-partner", "wrong-scale", "mismatched", "memory",
    "small", "duplicate", "near-duplicate", "near-leak", "enlarged", "jpeg", "misaligned",
    "brightness", "probe",
    "noisy", "mixed-depth", "mixed-channels", "mixed-profile", "alpha", "other-files", "subfolders",
]  # fmt: skip


class Rule(NamedTuple):
    """Severity of a kind of finding, the rule that it breaks, and what to do."""

    severity: Severity
    rule: str
    advice: str


LOWEST_QUALITY = 90
LEAST_RHYTHM = 8.5
MOST_NOISE = 5.0
SMALL_SIDE = 64
MOST_SHIFT = 0.2
LEAST_LIKENESS = 0.8
MOST_BRIGHTNESS = 6.0

RULES: dict[Kind, Rule] = {
    "empty": Rule("error", "a folder holds images", "name another folder, or put photos into it"),
    "unreadable": Rule("error", "every image can be read whole", "fetch the file again, or remove it"),
    "no-room": Rule("error", "some photo has room for the patch", "use a smaller patch or larger photos"),
    "leak": Rule(
        "error",
        "no validation photo is trained on",
        "take it out of one of the two folders: scores are too good else",
    ),
    "missing-partner": Rule(
        "error", "each file has a partner of the same stem", "add the partner, or remove the file"
    ),
    "wrong-scale": Rule(
        "error", "the target is the scale times as large", "make the pair again, or correct the scale"
    ),
    "mismatched": Rule(
        "error",
        f"small copies of a pair correlate by {LEAST_LIKENESS} or more",
        "look at the pair: it shows two things",
    ),
    "memory": Rule(
        "error", "a training step fits the memory", "take a smaller preset, batch or patch, or free memory"
    ),
    "small": Rule(
        "warning",
        "a photo has room for the largest patch",
        "it is never drawn: use a smaller patch, or remove it",
    ),
    "duplicate": Rule(
        "warning", "no photo is there twice", "keep one: photos that are there twice weigh twice"
    ),
    "near-duplicate": Rule(
        "warning",
        "no photo is nearly there twice",
        "look at them and keep the best: the same picture, perhaps cropped, stored anew, flipped or turned",
    ),
    "near-leak": Rule(
        "warning",
        "no validation photo resembles one trained on",
        "look at them; if they show the same, take one out",
    ),
    "enlarged": Rule(
        "warning",
        f"differences have no rhythm above {LEAST_RHYTHM} times their surroundings",
        "find the original, or shrink it by the factor named; straight from a camera's mosaic, by 2",
    ),
    "jpeg": Rule(
        "warning",
        f"JPEG quality is above {LOWEST_QUALITY}",
        "find a better copy, shrink it by 2 or more, or leave it out: the network learns to draw blocks",
    ),
    "misaligned": Rule(
        "warning",
        f"pairs lie within {MOST_SHIFT} degraded pixels",
        "align them: a network learns to blur what moves; equal halves of a pixel come from another resize",
    ),
    "brightness": Rule(
        "warning",
        f"channel means of a pair differ by at most {MOST_BRIGHTNESS:g} of 255",
        "match exposure and white balance, unless the network is to learn the difference",
    ),
    "probe": Rule(
        "warning", "the probe runs", "see the reason; training would likely stop at the same place"
    ),
    "noisy": Rule("note", f"noise is below {MOST_NOISE:g} of 255", "targets teach noise: clean or leave out"),
    "mixed-depth": Rule("note", "files have one depth", "16 bits are rounded to 8 for training"),
    "mixed-channels": Rule(
        "note", "files are all gray or all colour", "gray becomes three equal channels, or colour its luma"
    ),
    "mixed-profile": Rule(
        "note", "files share a colour profile", "convert all to sRGB: training reads values, not profiles"
    ),
    "alpha": Rule("note", "files have no transparency", "it is laid over white"),
    "other-files": Rule("note", "a folder holds images only", "they are passed over"),
    "subfolders": Rule(
        "note", "images lie in the folder itself", "subfolders are not read: name each of them"
    ),
}


@dataclass(frozen=True)
class Finding:
    """One thing found: its kind, the files concerned, one number that measures it, and its own words."""

    kind: Kind
    files: tuple[str, ...]
    detail: str
    number: float | int | None = None

    @property
    def severity(self) -> Severity:
        """Severity: errors stop or spoil training, warnings cost quality, notes are facts."""
        return RULES[self.kind].severity

    def as_data(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "kind": self.kind,
            "severity": self.severity,
            "files": list(self.files),
            "detail": self.detail,
            "number": self.number,
            "rule": RULES[self.kind].rule,
            "advice": RULES[self.kind].advice,
        }


def found(kind: Kind, files: Sequence[Path | str], detail: str, number: float | int | None = None) -> Finding:
    """Make a finding about files."""
    return Finding(kind, tuple(map(str, files)), detail, None if number is None else round(number, 4))


def photo_findings(
    photos: Sequence[ImageMeasures], failures: Sequence[Unreadable], *, room: int | None
) -> list[Finding]:
    """Find what is wrong with photos by themselves and among each other.

    `room` is the side in target pixels that the largest patch takes; None where no recipe tells.
    """
    return [
        *(found("unreadable", [failure.path], failure.reason) for failure in failures),
        *_smallness(photos, room),
        *(finding for photo in photos for finding in _damage(photo)),
        *_duplicates(photos),
        *_mixtures(photos),
    ]


def leak_findings(trained: Sequence[ImageMeasures], validation: Sequence[ImageMeasures]) -> Iterator[Finding]:
    """Find validation photos that are among the photos trained on, or resemble them."""
    by_pixels = {photo.pixels: photo for photo in trained}
    rest = []
    for photo in validation:
        twin = by_pixels.get(photo.pixels)
        if twin is None:
            rest.append(photo)
        else:
            yield found("leak", [photo.path, twin.path], "the same pixels")
    pairs = near_pairs(stack([photo.copy for photo in rest]), stack([photo.copy for photo in trained]))
    for first, second in pairs:
        yield found("near-leak", [rest[first].path, trained[second].path], "nearly the same picture")


def _damage(photo: ImageMeasures) -> Iterator[Finding]:
    """Damage of one photo; JPEG blocks have rhythms too, so damaged ones need twice the strength."""
    quality = photo.quality()
    damaged = quality is not None and quality <= LOWEST_QUALITY
    if photo.rhythm.strength > LEAST_RHYTHM * (1 + damaged):
        scales = " or ".join(f"x{scale:g}" for scale in scales_of(photo.rhythm) if scale < 6)
        yield found("enlarged", [photo.path], f"by about {scales}", photo.rhythm.strength)
    if quality is not None and damaged:
        source = "its tables" if photo.table_quality == quality else "its pixels"
        yield found("jpeg", [photo.path], f"quality {quality} by {source}", quality)
    if photo.noise > MOST_NOISE:
        yield found("noisy", [photo.path], f"deviation {photo.noise:.1f} of 255", photo.noise)


def _smallness(photos: Sequence[ImageMeasures], room: int | None) -> Iterator[Finding]:
    least = SMALL_SIDE if room is None else room
    small = [photo for photo in photos if min(photo.facts.height, photo.facts.width) < least]
    if room is not None and photos and len(small) == len(photos):
        yield found("no-room", [], f"all {len(photos)} photos have a side below {room} pixels", room)
    why = f"below {least} pixels" if room is None else f"below the {room} of the largest patch"
    for photo in small:
        size = f"{photo.facts.width} x {photo.facts.height}"
        yield found("small", [photo.path], f"{size}, {why}", min(photo.facts.height, photo.facts.width))


def _duplicates(photos: Sequence[ImageMeasures]) -> Iterator[Finding]:
    same: dict[str, list[ImageMeasures]] = defaultdict(list)
    for photo in photos:
        same[photo.pixels].append(photo)
    for twins in same.values():
        if len(twins) > 1:
            yield found("duplicate", [photo.path for photo in twins], "the same pixels", len(twins))
    single = [twins[0] for twins in same.values()]
    for group in groups(near_pairs(stack([photo.copy for photo in single]))):
        paths = [single[index].path for index in group]
        yield found("near-duplicate", paths, "nearly the same picture", len(group))


def _mixtures(photos: Sequence[ImageMeasures]) -> Iterator[Finding]:
    sorts: dict[Kind, Callable[[ImageMeasures], str]] = {
        "mixed-depth": lambda photo: f"{photo.facts.bits} bits",
        "mixed-channels": lambda photo: {1: "gray", 3: "colour"}.get(photo.facts.channels, "other colours"),
        "mixed-profile": lambda photo: f"profile {photo.facts.profile}",
    }
    for kind, sort in sorts.items():
        counts = Counter(map(sort, photos))
        if len(counts) > 1:
            yield _mixture(kind, counts, photos, sort)
    clear = [photo.path for photo in photos if photo.facts.has_alpha]
    if clear:
        yield found("alpha", clear, f"{len(clear)} of {len(photos)} files", len(clear))


def _mixture(
    kind: Kind, counts: Counter[str], photos: Iterable[ImageMeasures], sort: Callable[[ImageMeasures], str]
) -> Finding:
    usual = counts.most_common(1)[0][0]
    odd: list[Path] = [photo.path for photo in photos if sort(photo) != usual]
    words = ", ".join(f"{count} with {name}" for name, count in counts.most_common())
    return found(kind, odd, words, len(odd))
