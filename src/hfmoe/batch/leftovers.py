"""Files that a killed process had begun to write."""

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def sweep(targets: Iterable[Path]) -> None:
    """Remove what was begun of results and is nobody's any more: `.<stem>-<8 hex digits><suffix>`.

    To be called by who holds the manifest of their folders, while nothing is being written there.
    """
    begun = {(target.parent, target.stem[:32], target.suffix) for target in targets}
    for folder in {folder for folder, _, _ in begun}:
        with suppress(OSError):
            for path in folder.iterdir():
                match = re.fullmatch(r"\.(.*)-[0-9a-f]{8}", path.stem, flags=re.DOTALL)
                if match and (folder, match[1], path.suffix) in begun:
                    path.unlink(missing_ok=True)
