"""Which files a job reads and writes: paths of this machine and addresses of stores, by the same rules."""

import glob
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath, PurePosixPath
from typing import NamedTuple

from hfmoe.batch.earlier import earlier_results
from hfmoe.batch.manifest import results_of
from hfmoe.batch.settings import Naming, PlanError, Selection
from hfmoe.batch.stores import LOCAL, inside, is_address, joined, list_store, open_place
from hfmoe.image.files import IMAGE_SUFFIXES, PAGED_SUFFIXES, READ_SUFFIXES
from hfmoe.image.sniffing import content_of

Place = Path | str
"""A path of this machine, or as text an address for fsspec."""


class Job(NamedTuple):
    """One picture to restore; `root` is the folder of results it belongs to, None for a file by itself.

    The root holds the job's manifest, so source and root are then paths, never addresses.
    """

    source: Place
    target: Place
    root: Path | None = None


class NotTaken(NamedTuple):
    """A file that is an image by its content and is not restored, and what it is, such as "a PSD"."""

    path: Path
    kind: str


class _Found(NamedTuple):
    """A source, the folder that its result goes to, and the root of that; alone: it was given by itself."""

    source: Place
    folder: Place
    root: Path | None = None
    alone: bool = False


def plan_jobs(
    inputs: Sequence[Path | str],
    output: str | None,
    *,
    naming: Naming,
    selection: Selection | None = None,
    left_out: list[Place] | None = None,
    not_taken: list[NotTaken] | None = None,
) -> list[Job]:
    """Where the result of each input goes. Inputs are files, folders, patterns with *, ? or [ and addresses.

    Without output, a file's result is beside it and a folder's are in `<folder><mark>/`, in the tree that the
    sources have. An output is a file for one input file (when it has an image suffix), a folder otherwise.
    Hidden files, links to folders, and what earlier jobs wrote into folders below are passed over, as are
    results beside their sources, which are added to left_out, unless nothing else is found. Images in folders
    by their content but not by their suffix are added to not_taken. Without a naming
    pattern, sources whose results would have one name keep their own suffixes: `<name><mark>.png`.
    Raises PlanError when an output cannot be either, is one of the sources, or is that of two of them, and
    when nothing is found; ImportError where fsspec, or what it needs for an address, is missing.
    """
    selection = selection or Selection()
    places = [_place(place) for place in inputs]
    target = None if output is None else _place(output)
    if target is not None and output is not None and _is_file_name(places, target, output, naming.known):
        jobs = _into_file(places, target, naming, selection)
    else:
        _check_folder(target)
        found = _expand(places, target, naming, selection, [] if not_taken is None else not_taken)
        taken = _without_results(found, naming)
        if left_out is not None:
            left_out.extend(one.source for one in found if one not in taken)
        jobs = _named(taken, naming)
    _check(jobs)
    return jobs


def _place(place: Path | str) -> Place:
    if is_address(place):
        return str(place)
    if not str(place):
        raise PlanError("an input or output is an empty name")
    return Path(str(place).removeprefix(LOCAL))


def _is_file_name(places: Sequence[Place], target: Place, output: str, known: Sequence[str]) -> bool:
    """True where an output is a file and no folder. Raises PlanError for a file of an unknown suffix."""
    if isinstance(target, str):
        return PurePosixPath(target).suffix.lower() in known
    if len(places) != 1 or not (isinstance(places[0], str) or _is_file(places[0])):
        return False
    if output.endswith("/") or target.is_dir() or (not target.suffix and not target.exists()):
        return False
    if target.suffix.lower() not in known:
        raise PlanError(f"--output {output}: suffix must be one of {', '.join(known)}")
    return True


def _is_file(place: Path) -> bool:
    return not place.is_dir() and not _is_pattern(place)


def _into_file(places: Sequence[Place], target: Place, naming: Naming, selection: Selection) -> list[Job]:
    """The job of one input whose result was given by name."""
    if len(places) == 1 and isinstance(places[0], Path) and _is_file(places[0]):
        return [Job(places[0], target)]
    found = _expand(places, target, naming, selection, [])
    if len(found) == 1 and found[0].alone:
        return [Job(found[0].source, target)]
    raise PlanError(f"--output {target} is named like a file; several inputs need a folder")


def _check_folder(output: Place | None) -> None:
    """PlanError for a path that is a file, or named like one."""
    if not isinstance(output, Path):
        return
    if output.is_file():
        raise PlanError(f"--output {output} is a file; several inputs need a folder")
    if not output.exists() and output.suffix.lower() in (*IMAGE_SUFFIXES, *PAGED_SUFFIXES):
        raise PlanError(f"--output {output} is named like a file; several inputs need a folder")


def _expand(
    places: Sequence[Place],
    output: Place | None,
    naming: Naming,
    selection: Selection,
    not_taken: list[NotTaken],
) -> list[_Found]:
    """Every source once, with the folder that its result goes to."""
    mark = naming.mark
    found: dict[tuple[Place, Place], _Found] = {}
    for place in places:
        if isinstance(place, str):
            below = list(_below_address(place, output, mark, selection))
        else:
            below = list(_below(place, output, mark, selection, not_taken))
        if not below and (isinstance(place, str) or not _is_file(place)):
            wanted = " that are wanted" if selection.include or selection.exclude else ""
            but = f"; {not_taken[0].path} is {not_taken[0].kind}" if not_taken else ""
            raise PlanError(f"{place} holds no images{wanted} ({', '.join(selection.suffixes)}){but}")
        for one in below:
            real = one.source if isinstance(one.source, str) else Path(os.path.realpath(one.source))
            found.setdefault((real, one.folder), one)
    if not found:
        raise PlanError("none of the inputs is wanted by --include and --exclude")
    return list(found.values())


def _without_results(found: list[_Found], naming: Naming) -> list[_Found]:
    """Those that are no results beside their sources; all where there are no others: they were asked for."""
    folders: dict[Place, list[str]] = {}
    for one in found:
        if not one.alone:
            folder, name = _split(one.source)
            folders.setdefault(folder, []).append(name)
    made = {
        _join(folder, PurePath(name))
        for folder, names in folders.items()
        for name in earlier_results(
            _beside(folder, names), naming, folder=folder if isinstance(folder, Path) else None
        )
    }
    return [one for one in found if one.alone or one.source not in made] or found


def _split(place: Place) -> tuple[Place, str]:
    if isinstance(place, Path):
        return place.parent, place.name
    folder, _, name = place.rpartition("/")
    return folder, name


def _beside(folder: Place, names: list[str]) -> list[str]:
    """Names of the images in a folder, which may be more than those that are wanted."""
    if not isinstance(folder, Path):
        return names
    suffixes = (*READ_SUFFIXES, *PAGED_SUFFIXES)
    return [path.name for path in folder.iterdir() if path.suffix.lower() in suffixes]


def _below(
    place: Path, output: Place | None, mark: str, selection: Selection, not_taken: list[NotTaken]
) -> Iterator[_Found]:
    root = output if isinstance(output, Path) else None
    if place.is_dir():
        beside = place.resolve()
        results = output or beside.with_name(beside.name + mark)
        home = results if isinstance(results, Path) else None
        for source in _walk(place, home, selection, not_taken):
            yield _Found(source, _join(results, source.relative_to(place).parent), home)
    elif _is_pattern(place):
        fixed = _fixed_part(place)
        for match in sorted(glob.glob(str(place), recursive=True)):  # noqa: PTH207 (a pattern may begin at the root)
            source = Path(match)
            below = source.relative_to(fixed)
            if _is_image(source, selection) and selection.takes(below):
                yield _Found(source, _join(output, below.parent) if output else source.parent, root)
    elif selection.takes(Path(place.name)):
        yield _Found(place, output or place.parent, root, alone=True)


def _below_address(place: str, output: Place | None, mark: str, selection: Selection) -> Iterator[_Found]:
    home, below, name, is_folder = list_store(place, selection)
    if name is not None:
        yield _Found(joined(home, PurePosixPath(name)), output or home, alone=True)
        return
    if is_folder and output is None:
        output = place.rstrip("/") + mark
    made = inside(output, home) if isinstance(output, str) else None
    for path in below:
        if made is None or made not in path.parents:
            yield _Found(joined(home, path), _join(output or home, path.parent))


def _join(folder: Place, below: PurePath) -> Place:
    return folder / below if isinstance(folder, Path) else joined(folder, PurePosixPath(below))


def _walk(
    folder: Path, results: Path | None, selection: Selection, not_taken: list[NotTaken]
) -> Iterator[Path]:
    """The wanted images in a folder and below, sorted; not those that a job made.

    A folder below that cannot be listed stands for itself: reading it fails, so the job ends by naming it.
    """
    closed: list[Path] = []

    def note(error: OSError) -> None:
        if Path(error.filename) == folder:
            raise PlanError(f"{error.filename}: {error.strerror}")
        closed.append(Path(error.filename))

    apart, made = (None, set()) if results is None else (results.resolve(), results_of(results))
    for place, folders, files in os.walk(folder, onerror=note):
        here = Path(place)
        folders[:] = sorted(
            name
            for name in folders
            if selection.recursive
            and not name.startswith(".")
            and not selection.leaves_out((here / name).relative_to(folder))
            and (here / name).resolve() != apart
        )
        made |= results_of(here) if here != folder else set()
        for name in sorted(files):
            path = here / name
            if name.startswith(".") or os.path.normpath(path.absolute()) in made:
                continue
            if selection.takes(path.relative_to(folder)) and _is_taken(path, selection, not_taken):
                yield path
    yield from closed


def _is_taken(path: Path, selection: Selection, not_taken: list[NotTaken]) -> bool:
    """Return whether a file of a folder is to be restored; an image by its content alone is noted."""
    if _is_image(path, selection):
        return True
    if path.is_file() and (kind := content_of(path)):
        not_taken.append(NotTaken(path, kind))
    return False


def _is_image(path: Path, selection: Selection) -> bool:
    return path.suffix.lower() in selection.suffixes and path.is_file()


def _is_pattern(place: Path) -> bool:
    return glob.has_magic(str(place)) and not place.exists()


def _fixed_part(pattern: Path) -> Path:
    """The folder above the first part of a pattern that is one."""
    parts = pattern.parts
    first = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:first])


def _named(found: list[_Found], naming: Naming) -> list[Job]:
    """The job of each source; stems that differ in capital letters alone count as one, as on many disks."""
    names = [
        Path(one.source) if isinstance(one.source, Path) else Path(PurePosixPath(one.source).name)
        for one in found
    ]
    stems = [(one.folder, name.stem.casefold()) for one, name in zip(found, names, strict=True)]
    wanted = Counter(stems)
    return [
        Job(one.source, _join(one.folder, PurePath(naming.name(name, whole=wanted[stem] > 1))), one.root)
        for one, name, stem in zip(found, names, stems, strict=True)
    ]


def _check(jobs: list[Job]) -> None:
    """PlanError when a result would take the place of a source or of another result."""
    sources = {_spot(job.source) for job in jobs}
    taken: dict[object, Place] = {}
    for job in jobs:
        target = _spot(job.target)
        if target in sources:
            raise PlanError(f"{job.target} is an input; choose another --output")
        if target in taken:
            both = f"{taken[target]} and {job.source}"
            raise PlanError(f"several inputs would be written to {job.target}: {both}; restore them apart")
        taken[target] = job.source


def _spot(place: Place) -> object:
    """Identity of a place, however it is spelled; in lower case where disks do not tell cases apart."""
    if isinstance(place, str):
        return open_place(place)
    path = os.path.realpath(place)
    return path.casefold() if sys.platform in ("win32", "darwin") else path
