"""Peak memory that restoring takes beside the planner's forecast, in a fresh process for each row.

    python benchmarks/memory.py [--models nano-x2,nano-x4,tiny-x2] [--sizes 256,512,1024] [--tiles 512]

Measured is the growth of the resident memory from a process that holds network and image to its peak over
one run of `Restorer`; presets that do not ship are untrained, which takes the same memory. The largest size
is run once more in tiles of each side that --tiles names. Aim: within 25 % of the forecast. Of --runs the
smaller counts: a system short of memory may drop pages of libraries meanwhile, which count when they come
back.
"""

import argparse
import json
import subprocess
import sys
from itertools import product

import torch

from hfmoe.infer.eager import make_restorer
from hfmoe.infer.measure import describe
from hfmoe.infer.tiles import tile_geometry
from hfmoe.runtime.machine import machine
from hfmoe.runtime.memory import peak_mib, resident_mib, reuse_memory

AIM = 0.25


def main() -> None:
    """Print a row for each model, size and tile."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", default="nano-x2,nano-x4,tiny-x2,tiny-x4")
    parser.add_argument("--sizes", default="256,512,1024")
    parser.add_argument("--tiles", default="512")
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        model, size, tile = options.child
        print(json.dumps(measured(model, int(size), int(tile) or "off")))
        return
    sizes, tiles = (
        [int(word) for word in text.split(",") if word] for text in (options.sizes, options.tiles)
    )
    cases = [(size, 0) for size in sizes] + [(max(sizes), tile) for tile in tiles]
    print(machine().line())
    print(f"{'model':8s} {'size':>5s} {'tile':>5s} {'forecast':>9s} {'measured':>9s}  measured over forecast")
    ratios = []
    for model, (size, tile) in product(options.models.split(","), cases):
        forecast = tile_geometry(describe(model).config).run_bytes(size, size, tile=tile or None) / 2**20
        peak = min(in_process(model, size, tile) for _ in range(options.runs))
        ratios.append(peak / forecast)
        print(
            f"{model:8s} {size:5d} {tile or 'off':>5} {forecast:9.0f} {peak:9.0f}  {ratios[-1]:.2f}",
            flush=True,
        )
    worst = max(abs(ratio - 1) for ratio in ratios)
    print(f"at most {worst:.0%} off, {'within' if worst <= AIM else 'above'} the aim of {AIM:.0%}")


def in_process(model: str, size: int, tile: int) -> float:
    """MiB that one run adds to a fresh process; tile 0 = whole."""
    command = [sys.executable, __file__, "--child", model, str(size), str(tile)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def measured(model: str, size: int, tile: int | str) -> float:
    """MiB that one run adds to this process."""
    reuse_memory()
    torch.set_num_threads(1)
    restorer = make_restorer(describe(model), device="cpu")
    image = torch.rand(1, restorer.channels, size, size, generator=torch.Generator().manual_seed(0))
    resting = resident_mib()
    restorer(image, tile=tile)
    return peak_mib() - resting


if __name__ == "__main__":
    main()
