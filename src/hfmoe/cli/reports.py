"""Writing what a command found to a file that the user named."""

from contextlib import suppress
from pathlib import Path


def write_report(path: Path, text: str) -> None:
    """Write text to path, whole or not at all. Raises OSError naming path when it cannot be."""
    unfinished = path.with_name(f".{path.name}.part")
    try:
        unfinished.write_text(text.rstrip("\n") + "\n", encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
