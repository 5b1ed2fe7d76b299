"""Writing what a command found to a file that the user named."""

from pathlib import Path


def write_report(path: Path, text: str) -> None:
    """Write text to path, whole or not at all. Raises OSError when the place cannot be written."""
    unfinished = path.with_name(f".{path.name}.part")
    try:
        unfinished.write_text(text.rstrip("\n") + "\n", encoding="utf-8")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
