"""Comparison of files, or of the images of folders by name: a picture an image, one page, one JSON file."""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from hfmoe.compare.measures import Comparison, Options, compare_images
from hfmoe.compare.report import ScoreRow, draw_comparison, entry, mean_rows, page, wins
from hfmoe.compare.views import read_views
from hfmoe.image.files import ImageError, list_images, printable
from hfmoe.report.page import element, paragraph, table, write_text

NAME = "comparison"
"""Of the page and the JSON file, and of the picture of two files."""
MOST_BYTES = 192 * 2**20
"""Characters of whole images that a page holds at most: beyond, browsers become slow."""
MARK = re.compile(r"-(x[1-4](\.\d+)?|[wh]\d+|\d+x\d+|restored)$")
"""Mark of `hfmoe restore` behind the names of its results."""


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
    sources = {path.resolve() for trio in matched.trios for path in trio[1:] if path is not None}
    for trio in matched.trios:
        target = place / f"{trio.name}.png"
        if target.resolve() in sources:
            raise ValueError(f"{target} is an image to compare; give another --output")
    return _write(matched, place, options or Options(), on_image, alone=not any(folders))


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
            message = " ".join(str(error).split())
            done.failed.append(message if name in message else f"{name}: {message}")
            continue
        target = place / f"{trio.name}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        draw_comparison(comparison, target)
        entries.append(entry(comparison, name, whole=size < MOST_BYTES))
        size += len(entries[-1])
        facts.append({"name": name, **comparison.to_dict()})
        done.rows.append(ScoreRow(name, comparison.reference, comparison.scores))
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
