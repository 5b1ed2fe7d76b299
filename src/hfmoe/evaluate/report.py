"""Running a restorer over a protocol's images, and the report of it."""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from hfmoe.evaluate.protocol import EvaluationProtocol, Restore, Scores


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
        values = (
            math.fsum(getattr(image.scores, field.name) for image in self.images) for field in fields(Scores)
        )
        return Scores(*(value / len(self.images) for value in values))

    def seconds(self) -> float:
        """Seconds spent restoring, all images together."""
        return math.fsum(image.seconds for image in self.images)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; infinite PSNR, which JSON has no number for, is the string "inf"."""
        return {
            "protocol": self.protocol,
            "folder": self.folder,
            "mean": _plain(self.mean()),
            "seconds": self.seconds(),
            "images": [
                {"name": image.name, "seconds": image.seconds, **_plain(image.scores)}
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
            ImageScore(
                name=row["name"],
                seconds=float(row["seconds"]),
                scores=Scores(*(float(row[field.name]) for field in fields(Scores))),
            )
            for row in values["images"]
        )
        return Report(values["protocol"], values["folder"], images)


def evaluate(
    restore: Restore,
    folder: Path | str,
    *,
    protocol: EvaluationProtocol,
    on_image: Callable[[ImageScore], None] | None = None,
) -> Report:
    """Restores and scores every image of a folder; `on_image` hears of each as it is done.

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
            scores = protocol.score(restored, pair.target)
        except ValueError as error:
            raise ValueError(f"{pair.name}: {error}") from error
        rows.append(ImageScore(pair.name, seconds, scores))
        if on_image is not None:
            on_image(rows[-1])
    return Report(protocol.name, Path(folder).name, tuple(rows))


def _plain(scores: Scores) -> dict[str, float | str]:
    return {name: value if math.isfinite(value) else str(value) for name, value in asdict(scores).items()}
