"""Stores that fsspec opens: addresses such as s3://bucket/photos, listed, fetched from and delivered to."""

import glob
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from hfmoe.batch.settings import PlanError, Selection

LOCAL = "file://"


class Listing(NamedTuple):
    """Meaning of an address: the address of its folder, and the wanted images below, sorted.

    name: of a file that was given by itself, None for a folder or pattern; is_folder: it is one itself.
    """

    home: str
    below: list[PurePosixPath]
    name: str | None = None
    is_folder: bool = False


def is_address(place: Path | str) -> bool:
    """True where a place is an address for fsspec and no path; file:// stands for a path."""
    return "://" in str(place) and not str(place).startswith(LOCAL)


def open_place(place: str) -> tuple[Any, str]:
    """The file system of an address and the path in it. Raises PlanError for one that there is none for."""
    from fsspec.core import url_to_fs

    try:
        return url_to_fs(place)
    except ValueError as error:
        raise PlanError(f"{place}: {error}") from error


def list_store(place: str, selection: Selection) -> Listing:
    """The wanted images of an address. Whatever its store says when it cannot be listed is a RuntimeError."""
    try:
        return _list(place, selection)
    except (ValueError, OSError, ImportError):
        raise
    except Exception as error:
        raise RuntimeError(f"{place}: {' '.join(str(error).split())}") from error


def _list(place: str, selection: Selection) -> Listing:
    files, path = open_place(place)
    parts = PurePosixPath(path).parts
    if glob.has_magic(path) and not files.exists(path):
        top = PurePosixPath(*parts[: next(n for n, part in enumerate(parts) if glob.has_magic(part))])
        names, is_folder = files.glob(path), False
    elif files.isdir(path):
        top, names, is_folder = PurePosixPath(path), files.find(path), True
    elif files.exists(path):
        return Listing(_above(place, path, PurePosixPath(path).parent), [], PurePosixPath(path).name)
    else:
        raise PlanError(f"{place}: no such file or folder")
    below = [PurePosixPath(name).relative_to(top) for name in sorted(names)]
    wanted = [path for path in below if _is_wanted(path, selection)]
    return Listing(_above(place, path, top), wanted, is_folder=is_folder)


def _above(place: str, path: str, top: PurePosixPath) -> str:
    """The address as it was given, with its host, cut back from `path` to the folder `top` above it."""
    extra = len(PurePosixPath(path).relative_to(top).parts)
    scheme, _, rest = place.partition("://")
    parts = rest.rstrip("/").split("/")
    return f"{scheme}://" + "/".join(parts[: len(parts) - extra])


def _is_wanted(path: PurePosixPath, selection: Selection) -> bool:
    hidden = any(part.startswith(".") for part in path.parts)
    deep = len(path.parts) > 1 and not selection.recursive
    return not hidden and not deep and path.suffix.lower() in selection.suffixes and selection.takes(path)


def joined(folder: str, below: PurePosixPath) -> str:
    """Files below a folder; the folder may be the root of a store, of which the slashes are all."""
    if not below.parts:
        return folder.rstrip("/") if not folder.endswith("://") else folder
    return folder + "/" * (not folder.endswith("/")) + str(below)


def inside(place: str, folder: str) -> PurePosixPath | None:
    """Where below the address of a folder another lies; None where it lies elsewhere."""
    (files, path), (theirs, top) = open_place(place), open_place(folder)
    below = theirs == files and top in map(str, PurePosixPath(path).parents)
    return PurePosixPath(path).relative_to(top) if below else None


def is_private(place: str) -> bool:
    """True where an address means something in this process alone, as memory:// does."""
    return place.startswith("memory://")


def content_of(place: str) -> bytes:
    """Content of the file at an address."""
    files, path = open_place(place)
    return files.cat_file(path)


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
