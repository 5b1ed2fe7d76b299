"""Results of earlier jobs that lie beside their sources: they are no sources."""

import re
from collections.abc import Container, Iterable, Sequence
from contextlib import suppress
from pathlib import Path, PurePath

from hfmoe.batch.settings import MADE_BY, Naming
from hfmoe.image.files import ImageError, read_facts
from hfmoe.image.target_size import Size, TargetSize

_SEPARATORS = "-_. "
_MARK = re.compile(r"(?P<source>.+)-(?P<mark>x\d+(?:\.\d+)?|[wh]\d+|\d+x\d+|restored)")
"""Names of results by default, without their suffix."""


def earlier_results(names: Iterable[str], naming: Naming, *, folder: Path | None = None) -> set[str]:
    """Those names of a folder that are results of others of them: their metadata says so, or their name.

    By metadata, a file that hfmoe made and whose name begins or ends as another's does; by name, as jobs call
    results by default or by `naming`. folder: where the files lie, on this machine; without it names count
    alone, with it one whose name fits but whose size is not that of a result is none.
    """
    names = set(names)
    by_stem: dict[str, list[str]] = {}
    for name in names:
        by_stem.setdefault(PurePath(name).stem, []).append(name)
        by_stem.setdefault(name, []).append(name)
    made = {naming.name(Path(name)): name for name in names}
    own = (naming.size or TargetSize(naming.scale),)
    results = set()
    for name in names:
        marked = _MARK.fullmatch(PurePath(name).stem)
        sources = [each for each in by_stem.get(marked["source"], ()) if each != name] if marked else []
        sizes = _sizes_of(marked["mark"]) if marked else own
        if not sources and made.get(name, name) != name:
            sources, sizes = [made[name]], own
        fits = any(folder is None or _fits(folder / name, folder / source, sizes) for source in sources)
        if fits or (_has_kin(PurePath(name).stem, by_stem) and _is_made(folder, name)):
            results.add(name)
    return results


def _has_kin(stem: str, stems: Container[str]) -> bool:
    """Return whether a name is another file's with something added before or behind, such as "2x_a"."""
    cuts = [place for place, sign in enumerate(stem) if sign in _SEPARATORS]
    return any(stem[:cut] in stems or stem[cut + 1 :] in stems for cut in cuts)


def _is_made(folder: Path | None, name: str) -> bool:
    """Return whether the metadata of a file on this machine says that hfmoe made it."""
    try:
        return folder is not None and (read_facts(folder / name).software or "").startswith(f"{MADE_BY} ")
    except (ImageError, OSError):
        return False


def _sizes_of(mark: str) -> tuple[TargetSize, ...]:
    """The sizes that a mark in a name can mean; none where it means none."""
    with suppress(ValueError):
        if mark == "restored":
            return (TargetSize(1),)
        if mark.startswith("x"):
            return (TargetSize(float(mark[1:])),)
        if mark[0] in "wh":
            side = int(mark[1:])
            return (TargetSize(width=side) if mark[0] == "w" else TargetSize(height=side),)
        width, height = map(int, mark.split("x"))
        return TargetSize(fit=mark), TargetSize(width=width, height=height)
    return ()


def _fits(result: Path, source: Path, sizes: Sequence[TargetSize]) -> bool:
    """True where a file may be another, enlarged; what cannot be read is judged by its name alone."""
    try:
        large, small = (Size(*read_facts(path).upright) for path in (result, source))
    except (ImageError, OSError):
        return bool(sizes)
    grown = large.height >= small.height and large.width >= small.width
    return grown and any(size.of(*small) == large for size in sizes)
