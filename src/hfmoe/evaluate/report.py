"""Evaluation: a restorer over a protocol's images, its report, and paired tests of two reports."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from hfmoe.evaluate.protocols import EvaluationProtocol, ImagePair, Restore
from hfmoe.evaluate.scores import (
    LOWER_IS_BETTER,
    METRICS,
    Distance,
    Scores,
    comparable,
    distances_of,
    mean_scores,
    score_image,
)
from hfmoe.evaluate.statistics import Interval, bootstrap_mean, sign_flip, wilcoxon


@dataclass(frozen=True)
class ImageScore:
    """One image's scores and the seconds its restoring took; `group` as in ImagePair."""

    name: str
    seconds: float
    scores: Scores
    group: str = ""


@dataclass(frozen=True)
class Report:
    """The scores of every image of a folder under a named protocol."""

    protocol: str
    folder: str
    images: tuple[ImageScore, ...]

    def mean(self) -> Scores:
        """Return the plain mean over images of each score."""
        return mean_scores([image.scores for image in self.images])

    def groups(self) -> dict[str, Scores]:
        """Return the mean of each group of images by name; none where the protocol has no groups."""
        names = dict.fromkeys(image.group for image in self.images if image.group)
        return {
            name: mean_scores([image.scores for image in self.images if image.group == name])
            for name in names
        }

    def values(self, metric: str) -> list[float]:
        """Return one score of every image."""
        return [getattr(image.scores, metric) for image in self.images]

    def interval(self, metric: str) -> Interval | None:
        """Return the 95 % bootstrap interval of a score's mean over images; None where one is infinite."""
        values = self.values(metric)
        return bootstrap_mean(values) if all(map(math.isfinite, values)) else None

    def seconds(self) -> float:
        """Return seconds spent restoring, all images together."""
        return math.fsum(image.seconds for image in self.images)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; infinite PSNR, which JSON has no number for, is the string "inf"."""
        mean = self.mean().present()
        values = {
            "protocol": self.protocol,
            "folder": self.folder,
            "mean": mean,
            "groups": {name: scores.present() for name, scores in self.groups().items()},
            "interval_95": {metric: self.interval(metric) for metric in mean},
            "seconds": self.seconds(),
            "images": [
                {"name": image.name, "group": image.group, "seconds": image.seconds} | image.scores.present()
                for image in self.images
            ],
        }
        return finite_or_text(values)

    def to_json(self) -> str:
        """Return the report as indented JSON."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n"

    @staticmethod
    def from_dict(values: dict[str, Any]) -> "Report":
        """Return the report that `to_dict` described; raises KeyError or TypeError for a missing entry."""
        images = tuple(
            ImageScore(
                row["name"],
                float(row["seconds"]),
                Scores(**{metric: float(row[metric]) for metric in METRICS if metric in row}),
                row.get("group", ""),
            )
            for row in values["images"]
        )
        return Report(values["protocol"], values["folder"], images)


def evaluate(
    restore: Restore,
    folder: Path | str,
    *,
    protocol: EvaluationProtocol,
    distances: Mapping[str, Distance] | None = None,
    on_image: Callable[[ImageScore], None] | None = None,
    on_restored: Callable[[ImagePair, Tensor], None] | None = None,
) -> Report:
    """Restore and score every image of a folder.

    distances: those that need weights, by the name of their score, as `load_distances` returns them.
    `on_image` hears of each image as it is done; `on_restored` is given each pair and what was made of it,
    on the CPU.
    No image is skipped: raises ImageError naming a file that cannot be used, and ValueError naming
    the image whose restored form has a wrong shape or NaN.
    """
    rows = []
    for pair in protocol.pairs(Path(folder)):
        start = perf_counter()
        with torch.no_grad():
            restored = restore(pair.degraded).cpu()
        seconds = perf_counter() - start
        try:
            scores = score_image(restored, pair.target, border=protocol.border)
            if distances:
                both = comparable(restored, pair.target, border=protocol.border)
                scores = replace(scores, **distances_of(both, distances))
        except ValueError as error:
            raise ValueError(f"{pair.name}: {error}") from error
        rows.append(ImageScore(pair.name, seconds, scores, pair.group))
        if on_image is not None:
            on_image(rows[-1])
        if on_restored is not None:
            on_restored(pair, restored)
    return Report(protocol.name, Path(folder).name, tuple(rows))


@dataclass(frozen=True)
class PairedTest:
    """Paired differences "first minus second" of one score over the images of a report.

    interval: 95 % of the mean difference (bootstrap over images); wilcoxon and sign_flip: two-sided
    p-values; better and worse: images on which the first is. What does not need to be finite is None
    where a difference is not.
    """

    metric: str
    images: int
    difference: float
    interval: Interval | None
    wilcoxon: float | None
    sign_flip: float | None
    better: int
    worse: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return finite_or_text(asdict(self))


def differences_by_image(first: Report, second: Report, metric: str) -> list[float]:
    """Return first minus second, image by image; 0 where both are infinite."""
    pairs = zip(first.values(metric), second.values(metric), strict=True)
    return [0.0 if a == b else a - b for a, b in pairs]


def compare(first: Report, second: Report) -> tuple[PairedTest, ...]:
    """Return a test for each score that both reports have.

    Raises ValueError when their protocols or images are not the same.
    """
    check_same_images(first, second)
    shared = first.mean().present().keys() & second.mean().present().keys()
    return tuple(_paired_test(first, second, metric) for metric in METRICS if metric in shared)


def check_same_images(first: Report, second: Report) -> None:
    """Raise ValueError unless two reports are of the same protocol and images."""
    if first.protocol != second.protocol:
        raise ValueError(f"protocols {first.protocol!r} and {second.protocol!r} must be the same")
    names = [[image.name for image in report.images] for report in (first, second)]
    if names[0] != names[1]:
        odd = sorted(set(names[0]) ^ set(names[1])) or names[0]
        raise ValueError(f"both reports must have the same images; {odd[0]} stands in one alone")


def _paired_test(first: Report, second: Report, metric: str) -> PairedTest:
    differences = differences_by_image(first, second, metric)
    finite = all(map(math.isfinite, differences))
    sign = -1 if metric in LOWER_IS_BETTER else 1
    return PairedTest(
        metric,
        images=len(differences),
        difference=sum(differences) / len(differences),
        interval=bootstrap_mean(differences) if finite else None,
        wilcoxon=wilcoxon(differences) if finite else None,
        sign_flip=sign_flip(differences) if finite else None,
        better=sum(sign * each > 0 for each in differences),
        worse=sum(sign * each < 0 for each in differences),
    )


def finite_or_text(value: Any) -> Any:
    """Return plain values with the numbers that JSON cannot hold, such as an infinite PSNR, as text."""
    if isinstance(value, Mapping):
        return {name: finite_or_text(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite_or_text(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
