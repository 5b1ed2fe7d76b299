"""Files on this machine and in stores: which a job reads, where its results go, how they are brought over."""

import glob
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from hfmoe.batch.naming import Naming, PlanError, Selection
from hfmoe.batch.planning import plan_jobs

LOCAL = "file://"


class Errand(NamedTuple):
    """One picture to restore, by paths or addresses; root: the folder of results, where it is a path."""

    source: str
    target: str
    root: Path | None = None


class _Found(NamedTuple):
    """The address of a source, of the folder that its result goes to, and whether it was given by itself."""

    source: str
    folder: str
    alone: bool = False


def is_address(place: Path | str) -> bool:
    """Whether a place is an address for fsspec, such as s3://bucket/photos, and no path."""
    return "://" in str(place) and not str(place).startswith(LOCAL)


def plan_errands(
    inputs: Sequence[Path | str], output: str | None, *, naming: Naming, selection: Selection
) -> list[Errand]:
    """Where the result of each input goes, as `plan_jobs` has it; with addresses by the same rules.

    file:// stands for a path. Raises PlanError as `plan_jobs`, ImportError where fsspec, or what it needs for
    an address, is missing.
    """
    places = [_plain(str(place)) for place in inputs]
    output = None if output is None else _plain(output)
    if not any(map(is_address, places)) and (output is None or not is_address(output)):
        jobs = plan_jobs(places, output, naming=naming, selection=selection)
        return [Errand(str(job.source.absolute()), str(job.target.absolute()), job.root) for job in jobs]
    if output is not None and not is_address(output):
        output = str(Path(output).absolute())
    listed = [one for place in places for one in _listed(place, output, naming.mark, selection)]
    found = list(dict.fromkeys(listed))
    if output is None or PurePosixPath(output).suffix.lower() not in naming.known:
        errands = _named(found, naming)
    elif len(found) == 1 and found[0].alone:
        errands = [Errand(found[0].source, output)]
    else:
        raise PlanError(f"--output {output} is named like a file; several inputs need a folder")
    _check(errands)
    return errands


def open_place(place: str) -> tuple[Any, str]:
    """The file system of an address and the path in it. Raises PlanError for one that there is none for."""
    from fsspec.core import url_to_fs

    try:
        return url_to_fs(place)
    except ValueError as error:
        raise PlanError(f"{place}: {error}") from error


def stays_here(place: str) -> bool:
    """Whether an address means something in this process alone, as memory:// does."""
    return place.startswith("memory://")


def fetch(place: str, folder: Path) -> Path:
    """The file at a place as one of this machine, copied into folder where it is elsewhere."""
    if not is_address(place):
        return Path(place)
    files, path = open_place(place)
    copy = folder / PurePosixPath(path).name
    files.get_file(path, str(copy))
    return copy


def deliver(file: Path, place: str) -> None:
    """Put a file at an address: under another name first, so that the address never holds half of it."""
    files, path = open_place(place)
    whole = PurePosixPath(path)
    unfinished = str(whole.with_name(f".{whole.name}.part"))
    files.makedirs(str(whole.parent), exist_ok=True)
    files.put_file(str(file), unfinished)
    files.mv(unfinished, path)


def _plain(place: str) -> str:
    return place.removeprefix(LOCAL) if place.startswith(LOCAL) else place


def _listed(place: str, output: str | None, mark: str, selection: Selection) -> list[_Found]:
    """What is below a place; whatever its store says when it cannot be listed, in a sentence."""
    try:
        return list(_below(place, output, mark, selection))
    except (ValueError, OSError, ImportError):
        raise
    except Exception as error:
        raise RuntimeError(f"{place}: {' '.join(str(error).split())}") from error


def _below(place: str, output: str | None, mark: str, selection: Selection) -> Iterator[_Found]:
    """The wanted images of a place, sorted, with the folders that their results go to."""
    files, path = open_place(place)
    if glob.has_magic(path) and not files.exists(path):
        first = next(n for n, part in enumerate(PurePosixPath(path).parts) if glob.has_magic(part))
        top, names = str(PurePosixPath(*PurePosixPath(path).parts[:first])), files.glob(path)
    elif files.isdir(path):
        top, names = path, files.find(path)
        output = output or place.rstrip("/") + mark
    elif files.exists(path):
        yield _Found(_above(place, path, path), output or _above(place, path, _parent(path)), alone=True)
        return
    else:
        raise PlanError(f"{place}: no such file or folder")
    home, made = _above(place, path, top), _results(output, files, top)
    wanted = [
        below
        for below in (PurePosixPath(name).relative_to(top) for name in sorted(names))
        if _is_wanted(below, selection) and (made is None or made not in below.parents)
    ]
    if not wanted:
        raise PlanError(f"{place} holds no images that are wanted ({', '.join(selection.suffixes)})")
    for below in wanted:
        yield _Found(_joined(home, below), _joined(output or home, below.parent))


def _parent(path: str) -> str:
    return str(PurePosixPath(path).parent)


def _above(place: str, path: str, top: str) -> str:
    """The address as it was given, with its host, cut back from `path` to the folder `top` above it."""
    if not is_address(place):
        return top
    extra = len(PurePosixPath(path).relative_to(top).parts)
    scheme, _, rest = place.partition("://")
    parts = rest.rstrip("/").split("/")
    return f"{scheme}://" + "/".join(parts[: len(parts) - extra])


def _joined(folder: str, below: PurePosixPath) -> str:
    """What lies below a folder; the folder may be the root of a store, of which the slashes are all."""
    if not below.parts:
        return folder.rstrip("/") if not folder.endswith("://") else folder
    return folder + "/" * (not folder.endswith("/")) + str(below)


def _results(output: str | None, files: Any, top: str) -> PurePosixPath | None:
    """Where below a folder its results go, which are no sources; None where that is elsewhere."""
    if output is None:
        return None
    theirs, path = open_place(output)
    inside = theirs == files and top in map(str, PurePosixPath(path).parents)
    return PurePosixPath(path).relative_to(top) if inside else None


def _is_wanted(path: PurePosixPath, selection: Selection) -> bool:
    hidden = any(part.startswith(".") for part in path.parts)
    deep = len(path.parts) > 1 and not selection.recursive
    return not hidden and not deep and path.suffix.lower() in selection.suffixes and selection.takes(path)


def _named(found: list[_Found], naming: Naming) -> list[Errand]:
    names = [Path(PurePosixPath(one.source).name) for one in found]
    stems = [(one.folder, name.stem.casefold()) for one, name in zip(found, names, strict=True)]
    wanted = Counter(stems)
    return [
        Errand(one.source, _joined(one.folder, PurePosixPath(naming.name(name, whole=wanted[stem] > 1))))
        for one, name, stem in zip(found, names, stems, strict=True)
    ]


def _check(errands: list[Errand]) -> None:
    """PlanError when a result would take the place of a source or of another result."""
    sources = {open_place(errand.source) for errand in errands}
    taken: dict[tuple[Any, str], str] = {}
    for errand in errands:
        target = open_place(errand.target)  # one place may have several spellings
        if target in sources:
            raise PlanError(f"{errand.target} is an input; choose another --output")
        if target in taken:
            both = f"{taken[target]} and {errand.source}"
            raise PlanError(f"several inputs would be written to {errand.target}: {both}; restore them apart")
        taken[target] = errand.source
