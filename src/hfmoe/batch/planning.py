"""Which files a job reads and writes."""

import glob
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from hfmoe.batch.manifest import results_of
from hfmoe.batch.naming import WITH_PAGES, Naming, PlanError, Selection


class Job(NamedTuple):
    """One picture to restore; `root` is the folder of results it belongs to, None for a file by itself."""

    source: Path
    target: Path
    root: Path | None = None


class _Found(NamedTuple):
    """A source, the folder that its result goes to, and the root of that."""

    source: Path
    folder: Path
    root: Path | None


def plan_jobs(
    inputs: Sequence[Path | str], output: str | None, *, naming: Naming, selection: Selection | None = None
) -> list[Job]:
    """Where the result of each input goes. Inputs are files, folders, and patterns with *, ? or [ in them.

    Without output, a file's result is beside it and a folder's are in `<folder><mark>/`, in the tree that the
    sources have. An output is a file for one input file (when it has an image suffix), a folder otherwise.
    Hidden files, links to folders, and what earlier jobs wrote into folders below are passed over. Without a
    naming pattern, sources whose results would have one name keep their own suffixes: `<name><mark>.png`.
    Raises PlanError when an output cannot be either, is one of the sources, or is that of two of them, and
    when nothing is found.
    """
    selection = selection or Selection()
    places = [Path(place) for place in inputs]
    single = len(places) == 1 and not places[0].is_dir() and not _is_pattern(places[0])
    if output is not None and single and _is_file_name(output, naming.known):
        jobs = [Job(places[0], Path(output))]
    else:
        jobs = _named(_expand(places, output, naming.mark, selection), naming)
    _check(jobs)
    return jobs


def _is_file_name(output: str, known: Sequence[str]) -> bool:
    path = Path(output)
    if output.endswith("/") or path.is_dir() or (not path.suffix and not path.exists()):
        return False
    if path.suffix.lower() not in known:
        raise PlanError(f"--output {output}: suffix must be one of {', '.join(known)}")
    return True


def _expand(inputs: list[Path], output: str | None, mark: str, selection: Selection) -> list[_Found]:
    """Every source once, with the folder that its result goes to."""
    if output is not None and Path(output).is_file():
        raise PlanError(f"--output {output} is a file; several inputs need a folder")
    if output is not None and not Path(output).exists() and Path(output).suffix.lower() in WITH_PAGES:
        raise PlanError(f"--output {output} is named like a file; several inputs need a folder")
    root = Path(output) if output is not None else None
    found: dict[tuple[Path, Path], _Found] = {}
    for place in inputs:
        below = list(_below(place, root, mark, selection))
        if not below and (place.is_dir() or _is_pattern(place)):
            wanted = " that are wanted" if selection.include or selection.exclude else ""
            raise PlanError(f"{place} holds no images{wanted} ({', '.join(selection.suffixes)})")
        for one in below:
            found.setdefault((Path(os.path.realpath(one.source)), one.folder), one)
    if not found:
        raise PlanError("none of the inputs is wanted by --include and --exclude")
    return list(found.values())


def _below(place: Path, root: Path | None, mark: str, selection: Selection) -> Iterator[_Found]:
    if place.is_dir():
        beside = place.resolve()
        results = root or beside.with_name(beside.name + mark)
        for source in _walk(place, results, selection):
            yield _Found(source, results / source.relative_to(place).parent, results)
    elif _is_pattern(place):
        fixed = _fixed_part(place)
        for match in sorted(glob.glob(str(place), recursive=True)):  # noqa: PTH207 (a pattern may begin at the root)
            source = Path(match)
            below = source.relative_to(fixed)
            if _is_image(source, selection) and selection.takes(below):
                yield _Found(source, root / below.parent if root else source.parent, root)
    elif selection.takes(Path(place.name)):
        yield _Found(place, root or place.parent, root)


def _walk(folder: Path, results: Path, selection: Selection) -> Iterator[Path]:
    """The wanted images in a folder and below, sorted; not those that a job made.

    A folder below that cannot be listed stands for itself: reading it fails, so the job ends by naming it.
    """
    closed: list[Path] = []

    def note(error: OSError) -> None:
        if Path(error.filename) == folder:
            raise PlanError(f"{error.filename}: {error.strerror}")
        closed.append(Path(error.filename))

    apart, made = results.resolve(), results_of(results)
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
            if _is_image(path, selection) and selection.takes(path.relative_to(folder)):
                yield path
    yield from closed


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
    wanted = Counter((one.folder, one.source.stem.casefold()) for one in found)
    jobs = []
    for source, folder, root in found:
        whole = wanted[folder, source.stem.casefold()] > 1
        jobs.append(Job(source, folder / naming.name(source, whole=whole), root))
    return jobs


def _check(jobs: list[Job]) -> None:
    """PlanError when a result would take the place of a source or of another result."""
    sources = {_place(job.source) for job in jobs}
    taken: dict[str, Path] = {}
    for job in jobs:
        target = _place(job.target)
        if target in sources:
            raise PlanError(f"{job.target} is an input; choose another --output")
        if target in taken:
            both = f"{taken[target]} and {job.source}"
            raise PlanError(f"several inputs would be written to {job.target}: {both}; restore them apart")
        taken[target] = job.source


def _place(path: Path) -> str:
    """Where a path leads; without capital letters on systems whose disks do not tell them apart."""
    place = os.path.realpath(path)
    return place.casefold() if sys.platform in ("win32", "darwin") else place
