"""The state of a run in one file that is always whole: written beside, synced, then renamed over the last."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch


class CheckpointError(ValueError):
    """A checkpoint that cannot be read or written."""


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write tensors and plain values; until the new file is safely on disk the previous one stays.

    Raises CheckpointError where it cannot be written, for a full disk such as any other reason.
    """
    try:
        _write(path, state)
    except (OSError, RuntimeError) as error:
        cause = error if isinstance(error, OSError) else error.__context__ or error
        reason = (isinstance(cause, OSError) and cause.strerror) or str(cause).strip().partition("\n")[0]
        raise CheckpointError(f"{path} could not be written: {reason}") from error


def _write(path: Path, state: Mapping[str, Any]) -> None:
    unfinished = path.with_suffix(".part")
    try:
        with unfinished.open("wb") as file:
            torch.save(dict(state), file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    if os.name == "nt":  # where a folder cannot be opened, and renaming needs no more
        return
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def mark_good(path: Path, good: Path) -> None:
    """Keep a checkpoint under a second name, which stays when the first is written anew."""
    if good.exists() and good.samefile(path):
        return
    unfinished = good.with_suffix(".good")
    unfinished.unlink(missing_ok=True)
    try:
        os.link(path, unfinished)
    except OSError:
        shutil.copyfile(path, unfinished)
    unfinished.replace(good)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what save_checkpoint wrote; nothing but tensors and plain values is accepted."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise CheckpointError(f"{path} is not a readable checkpoint: {reason}") from error
