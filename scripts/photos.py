"""Draw docs/photos.md: crops of damaged photos, restored by several networks, with their times.

    python scripts/photos.py photos/*.png --models bicubic tiny-photo-x4 tiny-photo-x4-sharp other.safetensors

A file may be followed by the middle of its crop in pixels, as in dog.png@120,80. Networks of others are
opened as `hfmoe restore --model` opens them. Times are for 128 x 128 pixels; a first call is not counted.
"""

import argparse
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import torch

import hfmoe
from hfmoe.evaluate.protocols import Restore, bicubic
from hfmoe.image.files import Picture, read_picture, write_picture
from hfmoe.runtime.machine import machine

DOCS = Path(__file__).parents[1] / "docs"
SCALE = 4
SIDE = 96
RESTORED = 128
"""Pixels each way, around those that are shown, that are restored and timed."""


class Crop(NamedTuple):
    """A photo and the middle of the square that is shown, row and column in pixels; None: its own middle."""

    path: Path
    middle: tuple[int, int] | None


def main() -> None:
    """Restore, draw and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", nargs="+", metavar="PHOTO[@ROW,COLUMN]")
    parser.add_argument("--models", nargs="+", required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    networks = {Path(name).stem: _network(name) for name in options.models}
    (DOCS / "images/photos").mkdir(parents=True, exist_ok=True)
    lines = [_row(_crop(text), networks) for text in options.photos]
    page = DOCS / "photos.md"
    before, _, rest = page.read_text().partition("<!-- pictures -->")
    after = rest.partition("<!-- end of pictures -->")[2]
    note = f"Seconds are of one thread for {RESTORED} x {RESTORED} pixels: {machine().line()}."
    head = f"From left to right: {', '.join(networks)}. {note}"
    parts = [
        before,
        "<!-- pictures -->\n",
        head,
        "\n\n",
        "\n".join(lines),
        "\n<!-- end of pictures -->",
        after,
    ]
    page.write_text("".join(parts))


def _crop(text: str) -> Crop:
    name, _, middle = text.partition("@")
    row, _, column = middle.partition(",")
    return Crop(Path(name), (int(row), int(column)) if middle else None)


def _network(name: str) -> Restore:
    if name == "bicubic":
        return bicubic(SCALE)
    restorer = hfmoe.load(name, device="cpu")
    if restorer.scale != SCALE:
        raise SystemExit(f"{name} is of scale {restorer.scale}, not {SCALE}")
    restorer(torch.rand(1, 3, 64, 64))
    return lambda image: restorer(image)


def _row(crop: Crop, networks: dict[str, Restore]) -> str:
    """Restore one photo by each network, write the strip of crops and return its lines of the page."""
    photo = read_picture(crop.path).colour[None].clamp(0, 1)
    photo = photo.expand(-1, 3, -1, -1) if photo.shape[1] == 1 else photo
    height, width = photo.shape[-2:]
    row, column = crop.middle or (height // 2, width // 2)
    place = [_around(row, height, RESTORED), _around(column, width, RESTORED)]
    photo = photo[..., place[0], place[1]]
    shown_place = [
        _around(at - part.start, length, SIDE)
        for at, part, length in zip((row, column), place, photo.shape[-2:], strict=True)
    ]
    area = [slice(SCALE * part.start, SCALE * part.stop) for part in shown_place]
    shown, seconds = [], []
    for restore in networks.values():
        begin = perf_counter()
        with torch.inference_mode():
            restored = restore(photo).clamp(0, 1)
        seconds.append(f"{perf_counter() - begin:.2f}")
        shown.append(restored[0, :, area[0], area[1]])
    file = f"images/photos/{crop.path.stem}.webp"
    write_picture(DOCS / file, Picture(torch.cat(shown, 2)), quality=88)
    return (
        f"**{crop.path.stem}** ({width} x {height}): {' / '.join(seconds)} s\n\n![{crop.path.stem}]({file})\n"
    )


def _around(middle: int, length: int, side: int) -> slice:
    """Return the part of `side` pixels around a middle that lies within the length, or all of it."""
    start = max(0, min(middle - side // 2, length - side))
    return slice(start, min(start + side, length))


if __name__ == "__main__":
    main()
