"""Which images of two folders belong together, and where their pictures go."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from hfmoe.image.files import ImageError, list_images, printable


class Trio(NamedTuple):
    """Two images to compare, their truth where there is one, and their name without a suffix."""

    name: str
    first: Path
    second: Path
    truth: Path | None


class Matched(NamedTuple):
    """The images that belong together, by name, and sentences about those that stand alone."""

    trios: tuple[Trio, ...]
    alone: tuple[str, ...]


def match(first: Path, second: Path, truth: Path | None, *, but: Path) -> Matched:
    """Match the images of folders, with their trees, by path without suffix; `but`: where results go.

    Raises ImageError when no image stands in all folders, or two of one folder differ in suffix alone.
    """
    folders = {"A": first, "B": second} | ({} if truth is None else {"truth": truth})
    found = {label: _by_name(folder, but) for label, folder in folders.items()}
    shared = set.intersection(*(set(names) for names in found.values()))
    if not shared:
        raise ImageError(f"no image has the same name in {' and '.join(map(str, folders.values()))}")
    trios = tuple(
        Trio(name, found["A"][name], found["B"][name], found["truth"][name] if truth else None)
        for name in sorted(shared)
    )
    return Matched(trios, tuple(_alone(found, folders, shared)))


def _by_name(folder: Path, but: Path) -> dict[str, Path]:
    names: dict[str, Path] = {}
    apart, inside = but.resolve(), folder.resolve()
    for path in list_images(folder, recursive=True):
        if path.resolve().is_relative_to(apart) and not inside.is_relative_to(apart):
            continue
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in names:
            raise ImageError(f"{path}: {names[name].name} has the same name; one must go")
        names[name] = path
    return names


def _alone(
    found: Mapping[str, Mapping[str, Path]], folders: Mapping[str, Path], shared: set[str]
) -> list[str]:
    sentences = []
    for label, names in found.items():
        left = sorted(names.keys() - shared)
        if left:
            more = f" and {len(left) - 3} more" if len(left) > 3 else ""
            listed = printable(", ".join(names[name].name for name in left[:3]))
            sentences.append(f"{folders[label]}: {listed}{more} not in every folder, left out")
    return sentences
