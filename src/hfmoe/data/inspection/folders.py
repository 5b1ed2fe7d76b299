"""What lies in a folder beside the images that training reads."""

import os
from collections.abc import Iterator
from pathlib import Path

from hfmoe.data.inspection.findings import Finding, found
from hfmoe.image.files import LISTED_SUFFIXES, list_images


def look_into(folder: Path) -> tuple[list[Path], list[Finding]]:
    """List a folder's images as training reads them, and find what else lies there.

    Raises ImageError for a folder that is missing, OSError for one that cannot be read.
    """
    images = list_images(folder)
    return images, list(_findings(folder, images))


def _findings(folder: Path, images: list[Path]) -> Iterator[Finding]:
    others, below = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                below.append(Path(entry.path))
            elif Path(entry.name).suffix.lower() not in LISTED_SUFFIXES:
                others.append(Path(entry.path))
    if not images:
        yield found("empty", [folder], f"no file ends in {', '.join(LISTED_SUFFIXES)}")
    if others:
        yield found("other-files", sorted(others), f"{len(others)} files in {folder}", len(others))
    if below:
        yield found("subfolders", sorted(below), f"{len(below)} in {folder}", len(below))
