"""Exported files beside eager PyTorch in one run: latency, largest error, PSNR lost on photos, file size.

    python benchmarks/export.py PHOTOS [--models nano-x4 tiny-x4] [--size 256] [--threads 1] [--rounds 15]

Photos calibrate int8 and are what PSNR is lost on (made smaller by the model's scale). Rounds are
interleaved, so that a slow moment of the machine hits all alike; the ratio to eager is formed inside a round
and its median printed. A preset that does not ship is untrained: its times count, its PSNR does not. OpenVINO
is timed twice: with its sizes free, and compiled for this one size, as it is after a few calls.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from hfmoe.export.files import PRECISIONS, SUFFIX, Order, export_model
from hfmoe.image.files import list_images, read_rgb8
from hfmoe.image.resize import resize
from hfmoe.infer.allocator import reuse_memory
from hfmoe.infer.backends import openvino
from hfmoe.infer.backends.opening import open_exported
from hfmoe.infer.eager import make_restorer
from hfmoe.infer.measure import describe
from hfmoe.infer.restorer import Restorer
from hfmoe.metrics.psnr import psnr
from hfmoe.models.weights import Loaded

PHOTOS, SIDE = 4, 256


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
    options = parser.parse_args()
    reuse_memory()
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {options.threads} thread(s), {options.size} x {options.size} input")
    for name in options.models:
        with tempfile.TemporaryDirectory() as folder:
            table(name, options, Path(folder))


def table(name: str, options: argparse.Namespace, folder: Path) -> None:
    """Export a model in every way and print a row for each."""
    loaded = describe(name)
    networks = {"eager": (make_restorer(loaded, device="cpu"), 0)}
    for title, path in exports(loaded, options.photos, folder):
        size = path.stat().st_size + (path.with_suffix(".bin").stat().st_size if path.suffix == ".xml" else 0)
        networks[title] = (open_exported(path), size)
        if path.suffix == ".xml":
            networks[f"{title}, own size"] = (specialised(path, options.size), size)
    image = torch.rand(1, loaded.config.channels, options.size, options.size)
    image = image.to(memory_format=torch.channels_last)
    runs = {
        title: lambda net=network.network: net(image, effort=0.5) for title, (network, _) in networks.items()
    }
    times = interleaved(runs, options.rounds)
    pairs = list(pictures(options.photos, loaded.config.scale))
    eager = networks["eager"][0]
    for title, (network, size) in networks.items():
        ratio = statistics.median(a / b for a, b in zip(times["eager"], times[title], strict=True))
        error, loss = against(eager, network, pairs)
        print(
            f"{name:8s} {title:26s} {statistics.median(times[title]):7.1f} ms  x{ratio:4.2f}  "
            f"error {error:.1e}  PSNR lost {loss:6.3f} dB  {size / 2**10:6.0f} KiB"
        )


def exports(loaded: Loaded, photos: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    """Every file for the two runtimes, with its title."""
    for form in ("onnx", "openvino"):
        for precision in PRECISIONS:
            path = folder / f"{form}-{precision}{SUFFIX[form]}"
            calibration = photos if precision == "int8" else None
            export_model(loaded, path, Order(form, precision, calibration), source="")
            yield f"{form} {precision}", path


def specialised(path: Path, size: int) -> Restorer:
    """An OpenVINO file that has been called often enough with one size to be compiled for it."""
    restorer = open_exported(path)
    image = torch.rand(1, restorer.config.channels, size, size)
    for _ in range(openvino.WORTH_COMPILING // size**2 + 1):
        restorer.network(image, effort=0.5)
    return restorer


def interleaved(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each run, by turns, after a first turn that is not counted."""
    times: dict[str, list[float]] = {title: [] for title in runs}
    with torch.inference_mode():
        for _ in range(rounds + 1):
            for title, run in runs.items():
                begin = time.perf_counter()
                run()
                times[title].append(1e3 * (time.perf_counter() - begin))
    return {title: values[1:] for title, values in times.items()}


def pictures(folder: Path, scale: int) -> Iterator[tuple[Tensor, Tensor]]:
    """A few photos' middles, made smaller, with their truths."""
    for path in list_images(folder)[:PHOTOS]:
        photo = read_rgb8(path).float()[None] / 255
        top, left = (max(0, (side - SIDE * scale) // 2) for side in photo.shape[2:])
        truth = photo[:, :, top : top + SIDE * scale, left : left + SIDE * scale]
        height, width = (side // scale for side in truth.shape[2:])
        truth = truth[:, :, : height * scale, : width * scale]
        yield resize(truth, size=(height, width)).clamp(0, 1).float(), truth


@torch.inference_mode()
def against(eager: Restorer, network: Restorer, pairs: list[tuple[Tensor, Tensor]]) -> tuple[float, float]:
    """Largest difference from eager on the photos, and the mean PSNR lost against their truths."""
    errors, losses = [], []
    for image, truth in pairs:
        ours, theirs = (net.network(image, effort=0.5).image for net in (eager, network))
        errors.append((ours - theirs).abs().max().item())
        losses.append((psnr(ours.clamp(0, 1), truth) - psnr(theirs.clamp(0, 1), truth)).item())
    return max(errors), statistics.fmean(losses)


if __name__ == "__main__":
    main()
