"""How time and memory grow with the number of pixels: cost = a * pixels^b, without tiles.

    python benchmarks/growth.py [--model nano-x4] [--sizes 128,256,512,1024,2048] [--rounds 9] [--clock cpu]
        [--plot FILE.png]

The same as `hfmoe bench MODEL --sizes ...`, with the verdict on b <= 1.05 for both. Sizes that free memory
does not hold are left out and named. 2048 x 2048 needs about 5.3 GiB for nano-x4.
"""

import argparse
from pathlib import Path

import torch

from hfmoe.bench.benchmark import Plan, bench
from hfmoe.bench.growth import draw_growth
from hfmoe.bench.timing import CLOCKS
from hfmoe.cli.bench import check_plot, show
from hfmoe.infer.measure import describe
from hfmoe.infer.memory import free_bytes

MOST = 1.05


def main() -> None:
    """Print the table, the fits and the verdict."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="nano-x4")
    parser.add_argument("--sizes", default="128,256,512,1024,2048")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    if options.plot is not None:
        check_plot(options.plot)
    sizes = tuple(int(size) for size in options.sizes.split(","))
    plan = Plan(
        options.model,
        sizes,
        efforts=(0.5,),
        forms=("eager",),
        threads=options.threads,
        rounds=options.rounds,
        budget=options.seconds,
        clock=options.clock,
    )
    found = bench(plan, describe(options.model).config, free=free_bytes(torch.device("cpu")))
    show(found)
    for growth in found.growth:
        fits = {"time": growth.time, "memory": growth.memory}
        for name, fit in fits.items():
            if fit is not None:
                verdict = "within" if fit.b <= MOST else "above"
                print(f"{name}: b = {fit.b:.3f}, {verdict} the aim of {MOST}")
    if options.plot is not None:
        draw_growth(found, options.plot)


if __name__ == "__main__":
    main()
