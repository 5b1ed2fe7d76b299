"""Seconds from the start of the command to the written result of a small photo, by what runs the network.

    python benchmarks/start.py [--model nano-x4] [--size 128] [--rounds 7] [--files nano-x4.onnx nano-x4.xml]

Fresh processes in turn, so that a slow moment of the machine hits all alike; medians with quartiles, after
one turn that is not counted (it reads the files from disk). Other programs take no part of the processor
time. Without --files the model is exported first.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from hfmoe.bench.inputs import pink_image
from hfmoe.bench.timing import spread
from hfmoe.image.files import Picture, write_picture
from hfmoe.infer.backends.exported import SUFFIX, runtime_of

AIMS = {"import hfmoe": 0.2, "torch": 2.5, "onnx": 1.0, "openvino": 1.0}
"""Most seconds of each."""


class Took(NamedTuple):
    """Seconds that a process took: on the clock, and of processor time."""

    wall: float
    cpu: float


def main() -> None:
    """Print one row for each way to start."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="nano-x4")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--files", nargs="*", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        image = pink_image(options.size, options.size, channels=3)[0]
        write_picture(folder / "photo.png", Picture(image))
        found = measured(commands(options, folder), options.rounds)
    Console(width=110).print(table(found, options))


def commands(options: argparse.Namespace, folder: Path) -> dict[str, list[str]]:
    """The command line of each way to start."""
    files = options.files or [exported(options.model, name, folder) for name in SUFFIX]
    models = {"torch": options.model} | {runtime_of(path): str(path) for path in files}
    restore = [sys.executable, "-m", "hfmoe", "restore", str(folder / "photo.png"), "--model"]
    lines = {
        name: [*restore, model, "--output", str(folder / f"{name}.png")] for name, model in models.items()
    }
    return {"import hfmoe": [sys.executable, "-c", "import hfmoe"]} | lines


def exported(model: str, name: str, folder: Path) -> Path:
    """The model as a file for a runtime."""
    path = folder / f"model{SUFFIX[name]}"
    command = [sys.executable, "-m", "hfmoe", "export", model, "--format", name, "--output", str(path)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return path


def measured(lines: dict[str, list[str]], rounds: int) -> dict[str, list[Took]]:
    """What each command took, by round."""
    found: dict[str, list[Took]] = {name: [] for name in lines}
    for number in range(rounds + 1):
        for name, line in lines.items():
            took = run(line)
            if number:
                found[name].append(took)
    return found


def run(line: list[str]) -> Took:
    """One command from start to end."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Took(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def table(found: dict[str, list[Took]], options: argparse.Namespace) -> Table:
    """A row for each way to start: medians, quartiles, aim."""
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    title = f"{options.model}, {options.size} x {options.size}, {os.cpu_count()} processors, load {load}"
    made = Table(title=title)
    for column in ("", "s [quartiles]", "processor s [quartiles]", "aim"):
        made.add_column(column, justify="right")
    for name, values in found.items():
        sides = (spread([took.wall for took in values]), spread([took.cpu for took in values]))
        made.add_row(
            name,
            *(f"{side.median:.2f} \\[{side.low:.2f} {side.high:.2f}]" for side in sides),
            str(AIMS[name]),
        )
    return made


if __name__ == "__main__":
    main()
