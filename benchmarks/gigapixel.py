"""Peak memory and time of an image that memory does not hold, restored region by region.

    python benchmarks/gigapixel.py [--size 30000] [--model nano-x2] [--rows 2] [--stand-in] [--folder .]

Makes a photo of SIZE x SIZE pixels (scikit-image's astronaut, side by side) as a TIFF, restores it to a
PNG, and prints the peak of the resident memory and the time. --rows ends it after so many rows of tiles,
with a forecast of the time; memory is that of the whole run from the second row on. --stand-in puts
bilinear enlargement in the network's place: sooner, the whole way from file to file, and as small as that
is; its own memory is less than the network's. An ended run is gone on with by the same command. The disk
needs twice the result's bytes: 22 GB for 30,000 x 30,000 at x2.
"""

import argparse
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pyvips
import skimage.data
import torch
import torch.nn.functional as F
from torch import Tensor

import hfmoe
from hfmoe.batch.large import restore_large
from hfmoe.batch.manifest import identify
from hfmoe.batch.settings import Settings
from hfmoe.infer.eager import Eager
from hfmoe.infer.memory import free_bytes
from hfmoe.infer.restorer import Restorer
from hfmoe.infer.streaming import plan_side, plan_tiling
from hfmoe.runtime.machine import machine
from hfmoe.runtime.memory import peak_mib, reuse_memory

AIM_GIB = 2.0


class Enough(BaseException):
    """Ends the run after so many rows of tiles, as an interrupt does."""


def main() -> None:
    """Make the image, restore it, print what it took."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=30000)
    parser.add_argument("--model", default="nano-x2")
    parser.add_argument("--rows", type=int, default=0)
    parser.add_argument("--stand-in", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path())
    options = parser.parse_args()
    reuse_memory()
    torch.set_num_threads(options.threads)
    source = options.folder / f"gigapixel-{options.size}.tif"
    if not source.exists():
        draw(source, options.size)
    restorer = hfmoe.load(options.model, device="cpu")
    if options.stand_in:
        network = partial(stand_in, scale=restorer.scale)
        restorer = replace(restorer, engine=Eager(network, torch.device("cpu")))
    run(source, restorer, options)


def draw(path: Path, size: int) -> None:
    """Write a large photo."""
    photo = pyvips.Image.new_from_array(skimage.data.astronaut())
    times = -(-size // 512)
    photo.replicate(times, times).crop(0, 0, size, size).tiffsave(str(path), bigtiff=True)


def stand_in(image: Tensor, *, scale: int, effort: float) -> SimpleNamespace:
    """A network that costs next to nothing."""
    return SimpleNamespace(image=F.interpolate(image, scale_factor=scale, mode="bilinear"))


def run(source: Path, restorer: Restorer, options: argparse.Namespace) -> None:
    """Restore and report."""
    side = plan_side(restorer, free=free_bytes(restorer.device))
    across = len(plan_tiling(restorer, options.size, options.size, tile=side).columns)
    first: list[int] = []
    began, cpu, share = time.perf_counter(), time.process_time(), 0.0

    def watch(done: int, total: int) -> None:
        nonlocal share
        first.append(done)
        share = (done - first[0] + 1) / total
        if done % across == 0:
            spent = time.perf_counter() - began
            print(f"{done / total:6.1%}  {spent:.0f} s, peak {peak_mib() / 1024:.2f} GiB", flush=True)
        if options.rows and done - first[0] + 1 > options.rows * across:
            raise Enough

    target = options.folder / f"gigapixel-{options.size}-x{restorer.scale}.png"
    print(machine(threads=options.threads).line())
    try:
        key = (options.model, options.stand_in, identify(source))
        settings = Settings(tile=side)
        restore_large(source, target, restorer, settings, key=key, on_tile=watch)
        ended = f"{target.stat().st_size / 2**30:.2f} GiB written"
    except Enough:
        ended = f"ended after {share:.1%} of the tiles"
    spent, busy = time.perf_counter() - began, time.process_time() - cpu
    forecast = (
        f"; the network's part of all takes some {busy / share / 3600:.1f} hours of a core" if share else ""
    )
    print(f"{options.size} x {options.size} at x{restorer.scale}, tiles of {side}: {ended}, {spent:.0f} s")
    print(f"{busy:.0f} s of processor time{forecast}")
    peak = peak_mib() / 1024
    print(f"peak {peak:.2f} GiB, {'within' if peak < AIM_GIB else 'above'} the aim of {AIM_GIB:.0f}")


if __name__ == "__main__":
    main()
