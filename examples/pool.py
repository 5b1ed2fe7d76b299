"""Restore the images of a folder in a pool of processes that each hold the model: pool.py FOLDER OUTPUT.

The processes are spawned, not forked, so that the parent may use hfmoe, too.
"""

import multiprocessing
import os
import sys
from pathlib import Path

import torch

import hfmoe
from hfmoe.infer.restorer import Restorer

_loaded: list[Restorer] = []


def start(model: str) -> None:
    """Load the model once in a process; the processes share the cores, so each runs one thread."""
    torch.set_num_threads(1)
    _loaded.append(hfmoe.load(model, device="cpu"))


def restore(paths: tuple[Path, Path]) -> str:
    """Restore one file and say how it went."""
    source, target = paths
    try:
        target.write_bytes(hfmoe.restore(source.read_bytes(), _loaded[0]))
    except (ValueError, OSError) as error:
        return f"{source.name}: {error}"
    return f"{source.name}: done"


def main(folder: Path, output: Path, model: str = "nano-x2") -> None:
    """Restore every file of a folder into another."""
    output.mkdir(parents=True, exist_ok=True)
    jobs = [(path, output / f"{path.stem}.png") for path in sorted(folder.iterdir()) if path.is_file()]
    context = multiprocessing.get_context("spawn")
    with context.Pool(os.cpu_count(), initializer=start, initargs=(model,)) as pool:
        for line in pool.imap(restore, jobs):
            print(line)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:4])
