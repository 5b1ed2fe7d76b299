"""Results of earlier jobs that lie beside their sources: they are no sources."""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path, PurePath

from hfmoe.batch.settings import Naming
from hfmoe.image.files import ImageError, read_facts
from hfmoe.image.target_size import Size, TargetSize

_MARK = re.compile(r"(?P<source>.+)-(?P<mark>x\d+(?:\.\d+)?|[wh]\d+|\d+x\d+|restored)")
"""How results are called by default, without their suffix."""


def earlier_results(names: Iterable[str], naming: Naming, *, folder: Path | None = None) -> set[str]:
    """Those names of a folder that a job gave to results of others of them, by default or by `naming`.

    folder: where the files lie, on this machine; one whose size is not that of a result is none.
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
        if any(folder is None or _fits(folder / name, folder / source, sizes) for source in sources):
            results.add(name)
    return results


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
    """Whether a file may be another, enlarged; what cannot be read is judged by its name alone."""
    try:
        large, small = (Size(*read_facts(path).upright) for path in (result, source))
    except (ImageError, OSError):
        return bool(sizes)
    grown = large.height >= small.height and large.width >= small.width
    return grown and any(size.of(*small) == large for size in sizes)
