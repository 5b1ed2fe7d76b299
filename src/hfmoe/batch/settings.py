"""Settings of a job: restoration, names of results, selection of files."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePath
from string import Formatter
from typing import Any

from hfmoe import __version__
from hfmoe.image.files import IMAGE_SUFFIXES, PAGED_SUFFIXES, QUALITY, READ_SUFFIXES
from hfmoe.image.picture import Picture, flatten, strip
from hfmoe.image.target_size import TargetSize, asked_size

COLOURS = {"white": "#ffffff", "gray": "#808080", "black": "#000000"}
STREAM = ("auto", "on", "off")
MADE_BY = "hfmoe"
"""Program that results name in their metadata, with its version and the model."""
ALPHA = ("transparency", "separate")
DAMAGED = ("refuse", "keep")
FIELDS = ("stem", "name", "scale", "model", "suffix")
"""Fields of a naming pattern: the source's name without and with its suffix, and of the result."""


@dataclass(frozen=True)
class Settings:
    """Restoration and writing of every picture of a job: options of `Restorer` and of `write_picture`.

    Parameters
    ----------
    scale
        Picks the nano model of that scale, for 1 tiny-photo-x1, or checks the scale of the model. A fraction
        such as 1.5 takes the next larger one, whose result is then reduced.
    width
        Width of the result in pixels; the height follows, unless it is given, too. Without a model each
        picture takes the nano model that is just large enough (x2 to x4), and its result is reduced.
    height
        Height of the result in pixels, as width.
    fit
        A box such as 1920x1080, width first, that the result just fits in, as width.
    quality
        1 to 100 for jpg, webp and avif; the last two are lossless at 100.
    strip
        Drop EXIF, XMP and resolution; the colour profile stays.
    background
        Lay transparent pictures over this colour, which JPEG needs: white, gray, black or #rrggbb.
    alpha
        transparency restores colours as they are seen through alpha; separate takes alpha for a plane of its
        own, such as a mask of a game's texture: it is restored as gray and leaves the colours alone.
    damaged
        refuse, or keep: what can be decoded of a damaged or cut-off JPEG or PNG is restored, and the summary
        says how much is missing.
    tile
        auto (by free memory), off (whole image), or the side of the tiles in input pixels.
    stream
        auto goes region by region through images that memory does not hold, by way of a raw file beside the
        result that a further call goes on with; on does so with all, off with none.
    pages
        Restore TIFF of several pages, animated WebP and GIF page by page into a tif, webp or gif.
    effort
        0 takes the cheapest experts, 0.5 those of training, 1 the heaviest.
    strength
        1 takes all of the restored detail, 0 only tones and the detail of the enlarged input.
    ensemble
        Average over eight flips and turns: a little better, eight times as long.
    """

    scale: float | int | None = None
    width: int | None = None
    height: int | None = None
    fit: str | None = None
    quality: int = QUALITY
    strip: bool = False
    background: str | None = None
    alpha: str = "transparency"
    damaged: str = "refuse"
    tile: int | str = "auto"
    stream: str = "auto"
    pages: bool = False
    effort: float = 0.5
    strength: float = 1.0
    ensemble: bool = False

    def __post_init__(self) -> None:
        _ = self.size
        for name in ("effort", "strength"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} {getattr(self, name)} must be in [0, 1]")
        if not 1 <= self.quality <= 100:
            raise ValueError(f"quality {self.quality} must be in [1, 100]")
        if self.background is not None:
            parse_colour(self.background)
        if isinstance(self.tile, str) and self.tile not in ("auto", "off"):
            raise ValueError(f"tile {self.tile!r} must be auto, off or a number of pixels")
        for name, known in (("stream", STREAM), ("alpha", ALPHA), ("damaged", DAMAGED)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} {getattr(self, name)!r} must be one of {', '.join(known)}")
        self._check_together()

    def _check_together(self) -> None:
        """ValueError for options that exclude each other."""
        if self.alpha == "separate" and self.background is not None:
            raise ValueError("alpha separate is no transparency, which a background is for")
        wholes = {
            "an ensemble": self.ensemble,
            "tile off": self.tile == "off",
            "damaged keep": self.damaged == "keep",
        }
        whole = next((name for name, asked in wholes.items() if asked), None)
        if self.stream == "on" and whole:
            raise ValueError(f"stream on: {whole} needs the whole image in memory")

    @property
    def size(self) -> TargetSize | None:
        """Size of results where it is not just the model's scale. Raises ValueError as TargetSize."""
        return asked_size(self.scale, self.width, self.height, self.fit)

    @property
    def choose_model(self) -> bool:
        """True where the size of each picture decides which model it takes, since none is named."""
        return self.size is not None and self.scale is None

    def of_results(self) -> dict[str, Any]:
        """Settings that results depend on: all but the tiles, and what manifests always have."""
        values = asdict(self)
        for name in ("tile", "stream", "scale", "width", "height", "fit"):
            del values[name]
        if self.size is not None:
            values["size"] = self.size.mark
        for name in ("background", "alpha", "damaged"):  # as manifests of before these fields have it
            if values[name] == getattr(Settings, name):
                del values[name]
        return values

    def prepared(self, picture: Picture, *, model: str | None = None) -> Picture:
        """Return a picture with what is to be dropped before it is restored gone.

        model: name of what restores it, which its metadata says then, unless it has none.
        """
        if self.background is not None:
            picture = flatten(picture, background=parse_colour(self.background))
        if self.strip:
            return strip(picture)
        software = None if model is None else f"{MADE_BY} {__version__} {model}"
        return replace(picture, metadata=replace(picture.metadata, software=software))

    def of_network(self) -> dict[str, Any]:
        """The options of `Restorer.picture`."""
        options = {name: getattr(self, name) for name in ("tile", "effort", "strength", "ensemble")}
        return options | {"separate": self.alpha == "separate"}

    @property
    def read_suffixes(self) -> tuple[str, ...]:
        """Suffixes of the files that folders are searched for."""
        return tuple(dict.fromkeys((*READ_SUFFIXES, *(PAGED_SUFFIXES if self.pages else ()))))

    @property
    def written_suffixes(self) -> tuple[str, ...]:
        """Suffixes that results may have."""
        return tuple(dict.fromkeys((*IMAGE_SUFFIXES, *(PAGED_SUFFIXES if self.pages else ()))))


def parse_colour(colour: str) -> tuple[float, float, float]:
    """Return red, green and blue in [0, 1] of a name or #rrggbb. Raises ValueError for others."""
    digits = COLOURS.get(colour.lower(), colour).removeprefix("#")
    if len(digits) != 6 or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
        raise ValueError(f"background {colour!r} must be {', '.join(COLOURS)} or #rrggbb")
    red, green, blue = (int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4))
    return red, green, blue


class PlanError(ValueError):
    """Inputs and outputs that contradict each other or are not there, found before any work."""


@dataclass(frozen=True)
class Naming:
    """Names of results.

    mark: what tells a result from its source, such as "-x4"; suffix: of the format, with its dot; pattern: a
    name of FIELDS in braces, None for "{stem}<mark>{suffix}"; known: suffixes that results may have; size: of
    results, where it is not just the scale. Raises PlanError for a pattern of other fields, of folders, or
    without such a suffix.
    """

    mark: str
    suffix: str = ".png"
    pattern: str | None = None
    scale: int = 1
    model: str = ""
    known: Sequence[str] = IMAGE_SUFFIXES
    size: TargetSize | None = None

    def __post_init__(self) -> None:
        if self.pattern is not None:
            self._check(self.pattern)

    def name(self, source: Path, *, whole: bool = False) -> str:
        """The name of a source's result; `whole` keeps the source's own suffix in it."""
        if self.pattern is None:
            return f"{source.name if whole else source.stem}{self.mark}{self.suffix}"
        scale = self.scale if self.size is None else self.size.mark.removeprefix("x")
        return self.pattern.format(
            stem=source.stem, name=source.name, scale=scale, model=self.model, suffix=self.suffix
        )

    def _check(self, pattern: str) -> None:
        try:
            parts = list(Formatter().parse(pattern))
        except ValueError as error:
            raise PlanError(f"name {pattern!r}: {error}") from error
        for _, field, form, conversion in parts:
            if field is not None and (field not in FIELDS or form or conversion):
                known = ", ".join(f"{{{known}}}" for known in FIELDS)
                raise PlanError(f"name {pattern!r}: {{{field}}} must be one of {known}")
        if "/" in pattern or "\\" in pattern or "\0" in pattern:
            raise PlanError(f"name {pattern!r} must be that of a file, without folders")
        if PurePath(self.name(Path("a.png"))).suffix.lower() not in self.known:
            raise PlanError(f"name {pattern!r} must end in {{suffix}} or one of {', '.join(self.known)}")


@dataclass(frozen=True)
class Selection:
    """Which files are taken: patterns as of a shell, capital letters or not; in folders below, too.

    A pattern is held against the path below the folder that was given, and against each part of it, so that
    "*.jpg" means all of that kind and "thumbs" whole folders of that name; here * also stands for slashes.
    suffixes: of the files that folders and patterns are searched for.
    """

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    recursive: bool = True
    suffixes: Sequence[str] = READ_SUFFIXES

    def takes(self, path: PurePath) -> bool:
        """True where a path below the folder that was given is wanted."""
        return not self.leaves_out(path) and (not self.include or _matches(path, self.include))

    def leaves_out(self, path: PurePath) -> bool:
        """True where a file, or a folder with all that is in it, is excluded."""
        return _matches(path, self.exclude)


def _matches(path: PurePath, patterns: Sequence[str]) -> bool:
    places = {path.as_posix().lower(), *(part.lower() for part in path.parts)}
    return any(fnmatchcase(place, pattern.lower()) for pattern in patterns for place in places)
