"""Names of results, and which of the files that are found are taken."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePath
from string import Formatter

from hfmoe.image.files import IMAGE_SUFFIXES, PAGED_SUFFIXES, READ_SUFFIXES

WITH_PAGES = tuple(dict.fromkeys((*IMAGE_SUFFIXES, *PAGED_SUFFIXES)))
"""Suffixes of results where pages are wanted, too."""
READ_WITH_PAGES = tuple(dict.fromkeys((*READ_SUFFIXES, *PAGED_SUFFIXES)))
"""Suffixes of sources where pages are wanted, too."""
FIELDS = ("stem", "name", "scale", "model", "suffix")
"""What a naming pattern may hold: the source's name without and with its suffix, and of the result."""


class PlanError(ValueError):
    """Inputs and outputs that contradict each other or are not there, found before any work."""


@dataclass(frozen=True)
class Naming:
    """How results are called.

    mark: what tells a result from its source, such as "-x4"; suffix: of the format, with its dot; pattern: a
    name of FIELDS in braces, None for "{stem}<mark>{suffix}"; known: suffixes that results may have. Raises
    PlanError for a pattern of other fields, of folders, or without such a suffix.
    """

    mark: str
    suffix: str = ".png"
    pattern: str | None = None
    scale: int = 1
    model: str = ""
    known: Sequence[str] = IMAGE_SUFFIXES

    def __post_init__(self) -> None:
        if self.pattern is not None:
            self._check(self.pattern)

    def name(self, source: Path, *, whole: bool = False) -> str:
        """The name of a source's result; `whole` keeps the source's own suffix in it."""
        if self.pattern is None:
            return f"{source.name if whole else source.stem}{self.mark}{self.suffix}"
        return self.pattern.format(
            stem=source.stem, name=source.name, scale=self.scale, model=self.model, suffix=self.suffix
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
        """Whether a path below the folder that was given is wanted."""
        return not self.leaves_out(path) and (not self.include or _matches(path, self.include))

    def leaves_out(self, path: PurePath) -> bool:
        """Whether a file, or a folder with all that is in it, is excluded."""
        return _matches(path, self.exclude)


def _matches(path: PurePath, patterns: Sequence[str]) -> bool:
    places = {path.as_posix().lower(), *(part.lower() for part in path.parts)}
    return any(fnmatchcase(place, pattern.lower()) for pattern in patterns for place in places)
