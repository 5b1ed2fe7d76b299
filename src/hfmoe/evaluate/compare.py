"""Whether one model is better than another on the same images, or the difference is chance."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from hfmoe.evaluate.report import Report
from hfmoe.evaluate.scores import LOWER_IS_BETTER
from hfmoe.evaluate.statistics import Interval, bootstrap_mean, sign_flip, wilcoxon


@dataclass(frozen=True)
class Comparison:
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
        """Plain values for JSON."""
        values = asdict(self)
        difference = values["difference"]
        return values | {"difference": difference if math.isfinite(difference) else str(difference)}


def differences_of(first: Report, second: Report, metric: str) -> list[float]:
    """First minus second, image by image; 0 where both are infinite."""
    pairs = zip(first.values(metric), second.values(metric), strict=True)
    return [0.0 if a == b else a - b for a, b in pairs]


def compare(first: Report, second: Report) -> tuple[Comparison, ...]:
    """A comparison for each score that both reports have.

    Raises ValueError when their protocols or images are not the same.
    """
    check_same_images(first, second)
    shared = first.mean().present().keys() & second.mean().present().keys()
    return tuple(_compare(first, second, metric) for metric in first.mean().present() if metric in shared)


def check_same_images(first: Report, second: Report) -> None:
    """ValueError unless two reports are of the same protocol and images."""
    if first.protocol != second.protocol:
        raise ValueError(f"protocols {first.protocol!r} and {second.protocol!r} must be the same")
    names = [[image.name for image in report.images] for report in (first, second)]
    if names[0] != names[1]:
        odd = sorted(set(names[0]) ^ set(names[1])) or names[0]
        raise ValueError(f"both reports must have the same images; {odd[0]} stands in one alone")


def _compare(first: Report, second: Report, metric: str) -> Comparison:
    differences = differences_of(first, second, metric)
    finite = all(map(math.isfinite, differences))
    sign = -1 if metric in LOWER_IS_BETTER else 1
    return Comparison(
        metric,
        images=len(differences),
        difference=sum(differences) / len(differences),
        interval=bootstrap_mean(differences) if finite else None,
        wilcoxon=wilcoxon(differences) if finite else None,
        sign_flip=sign_flip(differences) if finite else None,
        better=sum(sign * each > 0 for each in differences),
        worse=sum(sign * each < 0 for each in differences),
    )
