"""Choices of the page in plain words, and the model and command that carry them out."""

import shlex
from dataclasses import dataclass
from typing import Any

from hfmoe.batch.settings import Settings
from hfmoe.infer.api import model_of_scale
from hfmoe.infer.restorer import Restorer
from hfmoe.infer.tiles import TileGeometry

PROBLEMS = {
    "Worn photo": {scale: model_of_scale(scale) for scale in (1, 2, 4)},
    "Noise": {1: "tiny-denoise"},
    "JPEG artefacts": {1: "tiny-jpeg"},
    "Clean, only too small": {2: "tiny-x2", 3: "nano-x3", 4: "tiny-x4"},
}
"""Problems of a photo: the model of each scale, of which the first is the one that is offered."""
SIZES = {1: "As it is", 2: "Twice as wide and high", 3: "Three times", 4: "Four times"}
FORMATS = {"PNG": "png", "JPEG": "jpg", "WebP": "webp", "TIFF": "tif"}
MARGINS = 6
"""Side of a tile in margins of its network: progress moves, and tiles cost 1.4 of the whole image."""


@dataclass(frozen=True)
class Request:
    """Request for photos: a problem, a scale and a format of the tables above, and a strength."""

    problem: str = "Worn photo"
    scale: int = 1
    strength: float = 1.0
    format: str = "PNG"

    def __post_init__(self) -> None:
        if self.problem not in PROBLEMS:
            raise ValueError(f"problem {self.problem!r} must be one of {', '.join(PROBLEMS)}")
        if self.scale not in PROBLEMS[self.problem]:
            sizes = ", ".join(map(str, PROBLEMS[self.problem]))
            raise ValueError(f"size {self.scale!r} must be one of {sizes} for {self.problem!r}")
        if self.format not in FORMATS:
            raise ValueError(f"format {self.format!r} must be one of {', '.join(FORMATS)}")

    @property
    def model(self) -> str:
        """Name of the model."""
        return PROBLEMS[self.problem][self.scale]

    @property
    def suffix(self) -> str:
        """Format of the results as the command names it."""
        return FORMATS[self.format]

    def settings(self, restorer: Restorer) -> Settings:
        """Return the settings of the command that does the same; transparency becomes white in JPEG."""
        background = "white" if self.suffix == "jpg" else None
        tile = tile_side(restorer.geometry)
        return Settings(strength=self.strength, background=background, tile=tile, stream="off")

    def command(self, restorer: Restorer, names: list[str]) -> str:
        """Return the command line that writes the same bytes."""
        settings, plain = self.settings(restorer), Settings()
        options: dict[str, Any] = {"model": self.model, "tile": settings.tile, "format": self.suffix}
        options |= {
            name: getattr(settings, name)
            for name in ("strength", "background")
            if getattr(settings, name) != getattr(plain, name)
        }
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        files = [f"./{name}" if name.startswith("-") else name for name in names]
        return shlex.join(["hfmoe", "restore", *files, *words])


def tile_side(geometry: TileGeometry) -> int:
    """Return the side of the tiles that the page restores, in input pixels, whatever memory is free."""
    return geometry.rounded(MARGINS * geometry.margin)
