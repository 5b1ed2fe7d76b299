"""Write the attribution of the training photos that shipped weights learned from.

    python scripts/attribution.py SOURCES.csv > src/hfmoe/models/shipped/ATTRIBUTION.md
    python scripts/attribution.py WINDOWS.csv --windows >> src/hfmoe/models/shipped/ATTRIBUTION.md

SOURCES.csv has the columns file, repository, original and licence, one row a photo; WINDOWS.csv the columns
repository, picture, licence and author, one row a window.
"""

import argparse
import csv
import sys
from itertools import groupby
from pathlib import Path

HEAD = """# Photos that the shipped weights learned from

Every model in this folder was trained on the photos below, the newer ones also on rendered graphics, and one
on a teacher's results for them. The weights themselves are under the licence that each file's metadata names.
No photo is part of this package.

## Teachers

`tiny-photo-x4-sharp` also learned from results of RealESRGAN_x4plus (X. Wang, L. Xie, C. Dong, Y. Shan,
BSD-3-Clause, https://github.com/xinntao/Real-ESRGAN), whose weights are not part of this package; its share
is in the metadata.

## CID22

189 references of the training part of the Cloudinary Image Dataset '22 (CID22), 512 x 512, CC BY-SA 4.0
(https://creativecommons.org/licenses/by-sa/4.0/). Source: J. Sneyers, E. Ben Baruch, Y. Vaxman, "CID22:
Large-Scale Subjective Quality Assessment for High Fidelity Image Compression", IEEE MultiMedia, 2023.

## Photos from free collections

{count} photos, each made smaller by 2 or more and cut to its most detailed 480 x 480 window. By source and
licence as the source states it:
"""


def main() -> None:
    """Print the attribution in Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sources", type=Path)
    parser.add_argument("--windows", action="store_true")
    options = parser.parse_args()
    if options.windows:
        write_windows(options.sources)
        return
    with options.sources.open(newline="") as file:
        rows = sorted(
            csv.DictReader(file), key=lambda row: (row["repository"], row["licence"], row["original"])
        )
    write = sys.stdout.write
    write(HEAD.format(count=len(rows)))
    for (repository, licence), group in groupby(rows, key=lambda row: (row["repository"], row["licence"])):
        write(f"\n### {repository}\n\nLicence: {licence}\n\n")
        write("".join(f"- {row['original']}\n" for row in group))


def write_windows(path: Path) -> None:
    """Print the section of the windows that single photos gave, with their authors."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    pictures = {(row["repository"], row["licence"], row["picture"], row["author"]) for row in rows}
    sys.stdout.write(f"\n## Windows of photos\n\n{len(rows)} windows of 256 to 512 pixels, that only")
    sys.stdout.write(" `tiny-photo-x4` and its sharp end saw, of these pictures:\n")
    for (repository, licence), group in groupby(sorted(pictures), key=lambda row: row[:2]):
        sys.stdout.write(f"\n### {repository}\n\nLicence: {licence}\n\n")
        lines = (f"- {picture}" + (f" ({author})" if author else "") for *_, picture, author in group)
        sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
