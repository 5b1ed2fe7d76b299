"""Comparison of files or folders: a picture an image, one page, one JSON file."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hfmoe.compare.measures import Comparison, Options, compare_images
from hfmoe.compare.page import MOST_BYTES, entry, page
from hfmoe.compare.pairs import Matched, Trio, match
from hfmoe.compare.picture import draw_comparison
from hfmoe.compare.tables import ScoreRow, mean_rows, wins
from hfmoe.compare.views import read_views
from hfmoe.image.files import ImageError, printable
from hfmoe.report.page import element, paragraph, table, write_text

NAME = "comparison"
"""Of the page and the JSON file, and of the picture of two files."""


@dataclass
class Written:
    """Results of a comparison; failed: a sentence an image; alone: about images without a partner."""

    rows: list[ScoreRow] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    alone: tuple[str, ...] = ()
    written: list[Path] = field(default_factory=list)


def default_folder(second: Path) -> Path:
    """Return where a comparison is written when nothing else is said: beside B."""
    whole = second.absolute()
    return whole.with_name(f"{whole.stem if whole.is_file() else whole.name}-comparison")


def compare_files(
    first: Path | str,
    second: Path | str,
    truth: Path | str | None = None,
    *,
    output: Path | str | None = None,
    options: Options | None = None,
    on_image: Callable[[str, Comparison], None] | None = None,
) -> Written:
    """Compare two image files, or the images of two folders by name, and write pictures, page and JSON.

    output: a folder, by default `default_folder`. Of folders, one bad image stops no other. Raises ImageError
    for what cannot be compared and ValueError for files mixed with folders; ImportError without matplotlib.
    """
    paths = [Path(first), Path(second), *([] if truth is None else [Path(truth)])]
    folders = [path.is_dir() for path in paths]
    if any(folders) and not all(folders):
        file, folder = (paths[folders.index(kind)] for kind in (False, True))
        raise ValueError(f"{file} is a file and {folder} a folder; give files alone or folders alone")
    place = default_folder(paths[1]) if output is None else Path(output)
    if all(folders):
        matched = match(paths[0], paths[1], paths[2] if truth else None, but=place)
    else:
        matched = Matched((Trio(NAME, paths[0], paths[1], paths[2] if truth else None),), ())
    _check_place(place, matched.trios)
    return _write(matched, place, options or Options(), on_image, alone=not any(folders))


def _check_place(place: Path, trios: Sequence[Trio]) -> None:
    """ValueError before any work when a picture would be written over an image that is compared."""
    sources = {path.resolve() for trio in trios for path in trio[1:] if path is not None}
    for trio in trios:
        target = place / f"{trio.name}.png"
        if target.resolve() in sources:
            raise ValueError(f"{target} is an image to compare; give another --output")


def _write(
    matched: Matched,
    place: Path,
    options: Options,
    on_image: Callable[[str, Comparison], None] | None,
    *,
    alone: bool,
) -> Written:
    done, entries, facts, size = Written(alone=matched.alone), [], [], 0
    for trio in matched.trios:
        name = printable(trio.second.name if alone else trio.name)
        try:
            comparison = compare_images(read_views(*trio[1:]), options)
        except ValueError as error:
            if alone:
                raise
            done.failed.append(_named(error, name))
            continue
        target = place / f"{trio.name}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        draw_comparison(comparison, target)
        entries.append(entry(comparison, name, whole=size < MOST_BYTES))
        size += len(entries[-1])
        facts.append({"name": name, **comparison.to_dict()})
        done.rows.append(ScoreRow.of(name, comparison))
        done.written.append(target)
        if on_image:
            on_image(name, comparison)
    if not done.rows:
        raise ImageError(f"none of {len(matched.trios)} images could be compared: {done.failed[0]}")
    return _finish(done, place, entries, facts)


def _finish(done: Written, place: Path, entries: list[str], facts: list[dict[str, Any]]) -> Written:
    head = [paragraph(line) for line in (*done.alone, *done.failed)]
    title = f"Comparison of {done.rows[0].name}"
    if len(done.rows) > 1:
        title = f"Comparison of {len(done.rows)} images"
        head = [table(*mean_rows(done.rows)), *map(paragraph, wins(done.rows)), *head]
    path, data = place / f"{NAME}.html", place / f"{NAME}.json"
    write_text(path, page(title, [element("div", *head)], entries))
    text = json.dumps(
        {"images": facts, "failed": done.failed, "alone": done.alone}, indent=2, allow_nan=False
    )
    write_text(data, text + "\n")
    done.written += [path, data]
    return done


def _named(error: ValueError, name: str) -> str:
    message = " ".join(str(error).split())
    return message if name in message else f"{name}: {message}"
