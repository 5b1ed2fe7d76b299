"""Running a restorer over a protocol's images, and the report of it."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from einops import repeat
from jaxtyping import Float
from torch import Tensor

from hfmoe.evaluate.protocol import EvaluationProtocol, Pair, Restore
from hfmoe.evaluate.scores import METRICS, Comparable, Scores, comparable, mean_scores, score_image
from hfmoe.evaluate.statistics import Interval, bootstrap_mean

Judge = Callable[[Float[Tensor, "b 3 h w"], Float[Tensor, "b 3 h w"]], Float[Tensor, " b"]]
"""A distance of restored images from their truths, RGB in [0, 1]."""


@dataclass(frozen=True)
class ImageScore:
    """One image's scores and the seconds its restoring took."""

    name: str
    seconds: float
    scores: Scores


@dataclass(frozen=True)
class Report:
    """The scores of every image of a folder under a named protocol."""

    protocol: str
    folder: str
    images: tuple[ImageScore, ...]

    def mean(self) -> Scores:
        """The plain mean over images of each score."""
        return mean_scores([image.scores for image in self.images])

    def values(self, metric: str) -> list[float]:
        """One score of every image."""
        return [getattr(image.scores, metric) for image in self.images]

    def interval(self, metric: str) -> Interval | None:
        """The 95 % bootstrap interval of a score's mean over images; None where one is infinite."""
        values = self.values(metric)
        return bootstrap_mean(values) if all(map(math.isfinite, values)) else None

    def seconds(self) -> float:
        """Seconds spent restoring, all images together."""
        return math.fsum(image.seconds for image in self.images)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; infinite PSNR, which JSON has no number for, is the string "inf"."""
        mean = self.mean().present()
        return {
            "protocol": self.protocol,
            "folder": self.folder,
            "mean": _plain(mean),
            "interval_95": {metric: self.interval(metric) for metric in mean},
            "seconds": self.seconds(),
            "images": [
                {"name": image.name, "seconds": image.seconds, **_plain(image.scores.present())}
                for image in self.images
            ],
        }

    def to_json(self) -> str:
        """The report as indented JSON."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n"

    @staticmethod
    def from_dict(values: dict[str, Any]) -> "Report":
        """The report that `to_dict` described; raises KeyError for a missing entry."""
        images = tuple(
            ImageScore(name=row["name"], seconds=float(row["seconds"]), scores=_scores(row))
            for row in values["images"]
        )
        return Report(values["protocol"], values["folder"], images)


def evaluate(
    restore: Restore,
    folder: Path | str,
    *,
    protocol: EvaluationProtocol,
    judges: Mapping[str, Judge] | None = None,
    on_image: Callable[[ImageScore], None] | None = None,
    on_restored: Callable[[Pair, Tensor], None] | None = None,
) -> Report:
    """Restores and scores every image of a folder.

    judges: distances that need weights, by the name of their score ("lpips", "dists"). `on_image` hears of
    each image as it is done; `on_restored` is given each pair and what was made of it, on the CPU.
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
            if judges:
                both = comparable(restored, pair.target, border=protocol.border)
                scores = replace(scores, **judged(both, judges))
        except ValueError as error:
            raise ValueError(f"{pair.name}: {error}") from error
        rows.append(ImageScore(pair.name, seconds, scores))
        if on_image is not None:
            on_image(rows[-1])
        if on_restored is not None:
            on_restored(pair, restored)
    return Report(protocol.name, Path(folder).name, tuple(rows))


def judged(images: Comparable, judges: Mapping[str, Judge]) -> dict[str, float]:
    """The distances of one image; gray ones are three equal channels."""
    result, truth = (
        repeat(image, "b 1 h w -> b 3 h w") if image.shape[1] == 1 else image for image in images
    )
    return {name: judge(result.float(), truth.float()).item() for name, judge in judges.items()}


def _plain(scores: Mapping[str, float]) -> dict[str, float | str]:
    return {name: value if math.isfinite(value) else str(value) for name, value in scores.items()}


def _scores(row: Mapping[str, Any]) -> Scores:
    optional = {field.name for field in fields(Scores) if field.default is None}
    return Scores(*(float(row[name]) if name in row or name not in optional else None for name in METRICS))  # pyright: ignore[reportArgumentType]
