"""How every picture of a job is restored and written."""

from dataclasses import asdict, dataclass
from typing import Any

from hfmoe.image.files import QUALITY

STREAM = ("auto", "on", "off")


@dataclass(frozen=True)
class Settings:
    """The options of `Restorer` and of `write_picture`, whether EXIF and the like are dropped, and parts.

    stream: "auto" takes images that memory does not hold part by part, "on" all, "off" none. pages: files of
    several pages, and GIF, are restored page by page, not refused.
    """

    quality: int = QUALITY
    strip: bool = False
    tile: int | str = "auto"
    effort: float = 0.5
    strength: float = 1.0
    ensemble: bool = False
    stream: str = "auto"
    pages: bool = False

    def __post_init__(self) -> None:
        if self.stream not in STREAM:
            raise ValueError(f"stream {self.stream!r} must be one of {', '.join(STREAM)}")
        if self.stream == "on" and (self.ensemble or self.tile == "off"):
            wish = "an ensemble" if self.ensemble else "tile off"
            raise ValueError(f"stream on: {wish} needs the whole image in memory")

    def of_results(self) -> dict[str, Any]:
        """What results depend on: all but how the image is cut."""
        values = asdict(self)
        del values["tile"], values["stream"]
        return values
