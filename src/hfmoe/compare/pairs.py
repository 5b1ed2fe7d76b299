"""Matching of the images of two folders by name."""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from hfmoe.image.files import ImageError, list_images, printable

MARK = re.compile(r"-(x[2-4]|restored)$")
"""What `hfmoe restore` puts behind the names of its results."""


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

    A name that is not in all of them is also looked for without the mark of `hfmoe restore`.
    Raises ImageError when no image stands in all folders, or two of one folder differ in suffix alone.
    """
    folders = {"A": first, "B": second} | ({} if truth is None else {"truth": truth})
    by_folder = {label: _by_name(folder, but) for label, folder in folders.items()}
    everywhere = _in_all(by_folder)
    wholes = {
        (Path(name).parent / path.name).as_posix(): name
        for names in by_folder.values()
        for name, path in names.items()
    }
    by_folder = {label: _without_marks(names, everywhere, wholes) for label, names in by_folder.items()}
    shared = _in_all(by_folder)
    if not shared:
        raise ImageError(f"no image has the same name in {' and '.join(map(str, folders.values()))}")
    trios = tuple(
        Trio(name, by_folder["A"][name], by_folder["B"][name], by_folder["truth"][name] if truth else None)
        for name in sorted(shared)
    )
    return Matched(trios, tuple(_alone(by_folder, folders, shared)))


def _in_all(by_folder: Mapping[str, Mapping[str, Path]]) -> set[str]:
    return set.intersection(*(set(names) for names in by_folder.values()))


def _without_marks(
    names: Mapping[str, Path], everywhere: set[str], wholes: Mapping[str, str]
) -> dict[str, Path]:
    """Return the images by name, without marks where that is one image's name alone.

    wholes: names by names with a suffix, which results have before their mark where stems alone are alike.
    """
    plain = {name: MARK.sub("", name) for name in names}
    plain = {name: wholes.get(bare, bare) if bare != name else bare for name, bare in plain.items()}
    uses = Counter((*plain.values(), *names))
    return {
        name if name in everywhere or uses[plain[name]] > 1 else plain[name]: path
        for name, path in names.items()
    }


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
    by_folder: Mapping[str, Mapping[str, Path]], folders: Mapping[str, Path], shared: set[str]
) -> list[str]:
    sentences = []
    for label, names in by_folder.items():
        left = sorted(names.keys() - shared)
        if left:
            more = f" and {len(left) - 3} more" if len(left) > 3 else ""
            listed = printable(", ".join(names[name].name for name in left[:3]))
            sentences.append(f"{folders[label]}: {listed}{more} not in every folder, left out")
    return sentences
