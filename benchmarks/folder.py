"""Throughput of a folder as a job beside that of its network alone, in turn in one process.

    python benchmarks/folder.py [--photos 100] [--model nano-x4] [--threads 1] [--workers 2] [--format png]

The photos are cut by code from those that scikit-image ships: sides from 96 to 512 pixels; JPEG, PNG of 8 and
16 bits, WebP and TIFF; some gray, some with alpha. They are dealt into rounds. In each round the job reads,
restores and writes its photos into an empty folder, and the network restores the same ones, decoded before;
which comes first changes by turns. Printed are both throughputs in input megapixels a second and their ratio
with its quartiles over the rounds, by the clock and by processor time, which shows what all threads take.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import skimage.data
import torch
from einops import rearrange

import hfmoe
from hfmoe.batch.dispatch import make_naming, run_here
from hfmoe.batch.planning import plan_jobs
from hfmoe.batch.settings import Settings
from hfmoe.image.files import Picture, read_picture, write_picture
from hfmoe.infer.restorer import Restorer
from hfmoe.runtime.machine import machine
from hfmoe.runtime.memory import reuse_memory

PHOTOS = ("astronaut", "coffee", "chelsea", "rocket", "retina")
KINDS = (".jpg", ".jpg", ".jpg", ".png", ".png", ".webp", ".tif")
AIM = 0.9


class Spent(NamedTuple):
    """Seconds by the clock and of the processors."""

    wall: float
    cpu: float


def main() -> None:
    """Draw the photos, run the rounds, print the table and the verdict."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--model", default="nano-x4")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--format", default="png")
    options = parser.parse_args()
    reuse_memory()
    torch.set_num_threads(options.threads)
    restorer = hfmoe.load(options.model, device="cpu")
    with tempfile.TemporaryDirectory() as place:
        folders = draw(Path(place), count=options.photos, rounds=options.rounds)
        suffix = f".{options.format}"
        alone(restorer, folders[0])
        job(restorer, folders[0], workers=options.workers, suffix=suffix, run=-1)
        pairs = []
        for number, folder in enumerate(folders):
            ours = partial(job, restorer, folder, workers=options.workers, suffix=suffix, run=number)
            network = partial(alone, restorer, folder)
            pairs.append((ours(), network()) if number % 2 else (network(), ours())[::-1])
        report(pairs, megapixels(folders), options)


def draw(place: Path, *, count: int, rounds: int) -> list[Path]:
    """Folders of mixed photos, as many of them as there are rounds."""
    generator = np.random.default_rng(0)
    folders = [place / f"in{number}" for number in range(rounds)]
    for number in range(count):
        pixels = getattr(skimage.data, PHOTOS[number % len(PHOTOS)])()
        side = generator.integers(96, 513, 2)
        height, width = (int(min(a, b)) for a, b in zip(side, pixels.shape[:2], strict=True))
        top, left = (
            int(generator.integers(0, a - b + 1)) for a, b in zip(pixels.shape, (height, width), strict=False)
        )
        part = torch.from_numpy(pixels[top : top + height, left : left + width].copy())
        colour = rearrange(part, "h w c -> c h w").float() / 255
        kind = KINDS[number % len(KINDS)]
        alpha = (
            torch.linspace(0, 1, width).expand(1, height, width)
            if kind == ".png" and number % 4 == 0
            else None
        )
        bits = 16 if kind in (".png", ".tif") and number % 3 == 0 else 8
        picture = Picture(colour[:1] if number % 9 == 0 and alpha is None else colour, alpha, bits)
        folder = folders[number % rounds]
        folder.mkdir(exist_ok=True)
        write_picture(folder / f"{number}{kind}", picture, quality=92)
    return folders


def alone(restorer: Restorer, folder: Path) -> Spent:
    """What the network takes for the photos of a folder, all of them decoded before."""
    pictures = [read_picture(path) for path in sorted(folder.iterdir())]
    return spent(lambda: [restorer.picture(picture) for picture in pictures])


def job(restorer: Restorer, folder: Path, *, workers: int, suffix: str, run: int) -> Spent:
    """What the whole job takes, from planning to the last file."""

    def work() -> None:
        naming = make_naming(restorer, Settings(), format=suffix)
        jobs = plan_jobs([folder], f"{folder}-out{run}", naming=naming)
        summary = run_here(jobs, restorer, Settings(), workers=workers)
        assert not summary.failed, summary.failed

    return spent(work)


def spent(run: Callable[[], object]) -> Spent:
    """Seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return Spent(time.perf_counter() - wall, time.process_time() - cpu)


def megapixels(folders: list[Path]) -> float:
    """Pixels of all photos, in millions."""
    sizes = (read_picture(path).colour[0].numel() for folder in folders for path in folder.iterdir())
    return sum(sizes) / 1e6


def report(pairs: list[tuple[Spent, Spent]], total: float, options: argparse.Namespace) -> None:
    """Print throughputs, the ratio, and whether it reaches the aim."""
    print(machine(threads=options.threads).line())
    print(
        f"{options.photos} photos, {total:.1f} megapixels, {options.model}, {options.workers} workers, "
        f"{options.format}"
    )
    for name in Spent._fields:
        ours, network = ([getattr(spent, name) for spent in column] for column in zip(*pairs, strict=True))
        low, middle, high = statistics.quantiles((b / a for a, b in zip(ours, network, strict=True)), n=4)
        whole = sum(network) / sum(ours)
        print(
            f"{name:5s} network {total / sum(network):.2f}, job {total / sum(ours):.2f} megapixels/s; "
            f"ratio {whole:.2f}, by round {middle:.2f} [{low:.2f}, {high:.2f}]"
        )
        if name == "wall":
            print(f"      {'reaches' if whole >= AIM else 'below'} the aim of {AIM}")


if __name__ == "__main__":
    main()
