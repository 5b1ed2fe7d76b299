"""Write the attribution of the training photos that shipped weights learned from.

    python scripts/attribution.py SOURCES.csv > src/hfmoe/models/shipped/ATTRIBUTION.md

SOURCES.csv has the columns file, repository, original and licence, one row a photo.
"""

import argparse
import csv
import sys
from itertools import groupby
from pathlib import Path

HEAD = """# Photos that the shipped weights learned from

Every model in this folder was trained on the photos below and on nothing else. The weights themselves are
under the licence that each file's metadata names. No photo is part of this package.

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
    with parser.parse_args().sources.open(newline="") as file:
        rows = sorted(
            csv.DictReader(file), key=lambda row: (row["repository"], row["licence"], row["original"])
        )
    write = sys.stdout.write
    write(HEAD.format(count=len(rows)))
    for (repository, licence), group in groupby(rows, key=lambda row: (row["repository"], row["licence"])):
        write(f"\n### {repository}\n\nLicence: {licence}\n\n")
        write("".join(f"- {row['original']}\n" for row in group))


if __name__ == "__main__":
    main()
