"""Results of earlier jobs that lie beside their sources: they are no sources."""

import re
from collections.abc import Iterable
from pathlib import Path, PurePath

from hfmoe.batch.settings import Naming
from hfmoe.image.files import ImageError, read_facts

_MARK = re.compile(r"(?P<source>.+)(?:-x(?P<scale>[1-9]\d?)|-restored)")
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
    results = set()
    for name in names:
        marked = _MARK.fullmatch(PurePath(name).stem)
        sources = [each for each in by_stem.get(marked["source"], ()) if each != name] if marked else []
        scale = int(marked["scale"] or 1) if marked else naming.scale
        if not sources and made.get(name, name) != name:
            sources, scale = [made[name]], naming.scale
        if any(folder is None or _fits(folder / name, folder / source, scale) for source in sources):
            results.add(name)
    return results


def _fits(result: Path, source: Path, scale: int) -> bool:
    """Whether a file may be another, enlarged; what cannot be read is judged by its name alone."""
    try:
        large, small = (read_facts(path) for path in (result, source))
    except (ImageError, OSError):
        return True
    sizes = {(large.height, large.width), (large.width, large.height)}
    return (small.height * scale, small.width * scale) in sizes
