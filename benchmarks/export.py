"""Exported files beside eager PyTorch in one run: time, error, PSNR lost on photos, size, the bound of fp32.

    python benchmarks/export.py PHOTOS [--models nano-x4 tiny-x4] [--size 256] [--threads 1] [--rounds 15]
                                [--clock cpu] [--operators]

Ratios are to eager PyTorch twice: as `hfmoe` runs it (folded, channels-last, memory reused), and plain, as
somebody gets it who loads the network and calls it: not folded, in NCHW memory, torch's own allocation, in
a process of its own with as many threads. Photos calibrate int8 and are what PSNR is lost on (made smaller by
the model's scale). Rounds are interleaved and ratios formed inside them (median with quartiles), so that a
slow moment of the machine hits all alike; --clock wall counts time instead of processor time. A preset that
does not ship is untrained: its times count, its PSNR does not. OpenVINO is timed compiled for the one size,
as it is at the first size that comes, and once with its sizes free. The last line is what the multiply-adds
of a model would take at this CPU's FP32 peak, as a dense 3x3 convolution reaches it: no fp32 export can be
faster. --operators also prints where the runtimes spend a run.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from plain import Plain
from runtimes import onnx_operators, openvino_operators
from torch import Tensor

from hfmoe.bench.timing import CLOCKS, Rounds, interleave, ratio, spread
from hfmoe.export.files import SUFFIX, Order, write_graph
from hfmoe.export.onnx import make_onnx
from hfmoe.export.program import make_program
from hfmoe.image.files import list_images, read_rgb8
from hfmoe.image.resize import resize
from hfmoe.infer.backends.exported import open_exported
from hfmoe.infer.eager import make_restorer
from hfmoe.infer.measure import describe
from hfmoe.metrics.psnr import psnr
from hfmoe.models.cost import multiply_adds
from hfmoe.models.weights import Loaded
from hfmoe.runtime.machine import machine
from hfmoe.runtime.memory import reuse_memory

PHOTOS, SIDE = 4, 256
ORDERS = (
    ("onnx", "fp32"),
    ("onnx", "int8"),
    ("openvino", "fp32"),
    ("openvino", "bf16"),
    ("openvino", "int8"),
)
ELSEWHERE = 40
"""Side of the image that comes first where OpenVINO is timed with its sizes free."""
WIDTH, PATCH = 64, 128
"""Channels and side of the dense 3x3 convolution that tells the FP32 peak: nothing in eager runs faster."""


class Contender(NamedTuple):
    """Something that runs the model: title, the callable, size of its file.

    again: runs the image of the last `run` anew, where `run` also brings image and result over.
    """

    title: str
    run: Callable[[Tensor], Tensor]
    size: int
    again: Callable[[], object] | None = None


def main() -> None:
    """Print one table for each model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("--models", nargs="+", default=["nano-x4", "tiny-x4"])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--clock", choices=sorted(CLOCKS), default="cpu")
    parser.add_argument("--operators", action="store_true")
    options = parser.parse_args()
    with Plain(options.threads) as plain:
        reuse_memory()
        torch.set_num_threads(options.threads)
        print(machine().line())
        print(f"{options.size} x {options.size} input, {options.clock} clock")
        for name in options.models:
            with tempfile.TemporaryDirectory() as folder:
                table(name, plain, options, Path(folder))


def table(name: str, plain: Plain, options: argparse.Namespace, folder: Path) -> None:
    """Export a model in every way and print a row for each, then the bound."""
    loaded = describe(name)
    paths = exports(loaded, options.photos, folder)
    shape = (1, loaded.config.channels, options.size, options.size)
    plain.load(name)
    first = Contender("plain eager", plain.run, 0, plain.again)
    contenders = [*every(loaded, paths, shape, options.threads), first]
    pairs = list(pictures(options.photos, loaded.config.scale))
    image = resized(pairs[0][0], shape)
    plain.run(image)
    runs = {each.title: each.again or (lambda each=each: each.run(image)) for each in contenders}
    clock = plain.clock if options.clock == "cpu" else CLOCKS["wall"]
    found = interleave(runs, rounds=options.rounds, budget=60.0, clock=clock)
    eager = contenders[0]
    for each in contenders:
        ratios = "  ".join(faster(found, case.title, each.title) for case in (eager, first))
        error, loss = against(eager, each, pairs)
        took = 1e3 * spread(found[each.title].seconds).median
        print(
            f"{loaded.facts.name:8s} {each.title:22s} {took:7.1f} ms  {ratios}  "
            f"error {error:.1e}  PSNR lost {loss:6.3f} dB  {each.size / 2**10:6.0f} KiB"
        )
    bound(loaded, options, 1e3 * spread(found[eager.title].seconds).median)
    if options.operators:
        for path, operators in (
            (paths["onnx fp32"], onnx_operators),
            (paths["openvino fp32"], openvino_operators),
        ):
            print(operators(path, image.numpy()))


def faster(found: Mapping[str, Rounds], case: str, title: str) -> str:
    """How many times as long as `title` a case takes, with quartiles, round by round."""
    share = ratio(found[case], found[title])
    text = "" if share is None else f"x{share.median:4.2f} [{share.low:.2f} {share.high:.2f}]"
    return f"{case} / this {text:18s}"


def exports(loaded: Loaded, photos: Path, folder: Path) -> dict[str, Path]:
    """Every file, by title; the network is traced once."""
    model = make_onnx(make_program(loaded.network, mixtures="all"))
    paths = {}
    for form, precision in ORDERS:
        path = paths[f"{form} {precision}"] = folder / f"{form}-{precision}{SUFFIX[form]}"
        order = Order(form, precision, photos if precision == "int8" else None)
        write_graph(model, loaded, path, order, source="")
    return paths


def every(
    loaded: Loaded, paths: dict[str, Path], shape: tuple[int, ...], threads: int
) -> Iterator[Contender]:
    """Eager, then each file; OpenVINO's first also as it is before it knows the size."""
    eager = torch.inference_mode()(make_restorer(loaded, device="cpu").network.__call__)
    yield Contender("eager", lambda image: eager(image, effort=0.5).image, 0)
    for title, path in paths.items():
        beside = path.with_suffix(".bin")
        size = path.stat().st_size + (beside.stat().st_size if path.suffix == ".xml" else 0)
        graph = open_exported(path, threads=threads).network
        if title == "openvino fp32":
            free = open_exported(path, threads=threads).network
            free(torch.zeros(1, shape[1], ELSEWHERE, ELSEWHERE))
            yield Contender(f"{title}, free", lambda image, graph=free: graph(image, effort=0.5).image, size)
        graph.prepare(shape)
        yield Contender(title, lambda image, graph=graph: graph(image, effort=0.5).image, size)


def bound(loaded: Loaded, options: argparse.Namespace, eager: float) -> None:
    """Print what the multiply-adds alone would take at the FP32 peak, and the ratio to eager that this is."""
    kernel = torch.rand(WIDTH, WIDTH, 3, 3).contiguous(memory_format=torch.channels_last)
    image = torch.rand(1, WIDTH, PATCH, PATCH).contiguous(memory_format=torch.channels_last)
    run = torch.inference_mode()(lambda: F.conv2d(image, kernel, padding=1))
    found = interleave({0: run}, rounds=15, budget=10.0, clock=CLOCKS[options.clock])
    peak = 2 * 9 * WIDTH**2 * PATCH**2 / min(found[0].runs())
    work = 2 * multiply_adds(loaded.config, options.size, options.size).expected
    least = 1e3 * work / peak
    print(
        f"{loaded.facts.name:8s} {work / 1e9:.2f} GFLOP at {peak / 1e9:.0f} GFLOP/s: "
        f"{least:.1f} ms, x{eager / least:.2f} at most in fp32"
    )


def pictures(folder: Path, scale: int) -> Iterator[tuple[Tensor, Tensor]]:
    """A few photos' middles, made smaller, with their truths."""
    for path in list_images(folder)[:PHOTOS]:
        photo = read_rgb8(path).float()[None] / 255
        top, left = (max(0, (side - SIDE * scale) // 2) for side in photo.shape[2:])
        truth = photo[:, :, top : top + SIDE * scale, left : left + SIDE * scale]
        height, width = (side // scale for side in truth.shape[2:])
        truth = truth[:, :, : height * scale, : width * scale]
        yield resize(truth, size=(height, width)).clamp(0, 1).float(), truth


def resized(image: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A photo in the size that is timed, in channels-last memory."""
    sized = resize(image, size=(shape[2], shape[3])).clamp(0, 1)
    return sized.contiguous(memory_format=torch.channels_last)


def against(eager: Contender, other: Contender, pairs: list[tuple[Tensor, Tensor]]) -> tuple[float, float]:
    """Largest difference from eager on the photos, and the mean PSNR lost against their truths."""
    errors, losses = [], []
    for image, truth in pairs:
        ours, theirs = (each.run(image) for each in (eager, other))
        errors.append((ours - theirs).abs().max().item())
        losses.append((psnr(ours.clamp(0, 1), truth) - psnr(theirs.clamp(0, 1), truth)).item())
    return max(errors), statistics.fmean(losses)


if __name__ == "__main__":
    main()
