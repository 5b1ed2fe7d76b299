"""The commands about networks themselves: evaluate, info, bench, export and models."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from hfmoe.cli.application import command
from hfmoe.runtime.memory import reuse_memory


@command()
def evaluate(
    model: str,
    folder: Path,
    /,
    *,
    scale: int | None = None,
    protocol: str | None = None,
    sigma: float = 25.0,
    quality: int = 10,
    targets: Path | None = None,
    suffixes: str = "_real,_mean",
    effort: float = 0.5,
    ensemble: Annotated[bool, Parameter(negative="")] = False,
    against: str | None = None,
    lpips: Path | None = None,
    dists: Path | None = None,
    pictures: Path | None = None,
    json: Path | None = None,
) -> None:
    """Score a model on a folder of photos: PSNR and SSIM, on luma and on all channels.

    Parameters
    ----------
    model
        A model that ships, a weights file, bicubic (which needs --scale), or input: the degraded image.
    folder
        Target photos, which the protocol degrades itself; for paired, the degraded ones.
    scale
        For bicubic; else checked against the model's.
    protocol
        classical-sr, luma-sr, colour-denoise, gray-denoise, colour-jpeg, gray-jpeg, colour-photo or
        gray-photo (blur, noise and JPEG together), or paired;
        by default that of the model's task.
    sigma
        Noise of the denoising protocols, in 8-bit levels.
    quality
        JPEG quality of the JPEG protocols.
    targets
        For paired: a folder of targets of the same names.
    suffixes
        For paired without --targets: what the names of degraded and target end in.
    effort
        0 takes the cheapest experts, 0.5 those of training, 1 the heaviest.
    ensemble
        Average over the eight flips and turns of each image; eight times as slow.
    against
        Another model on the same images: mean difference, its interval, and paired tests.
    lpips
        Weights of LPIPS (python -m hfmoe.metrics.weights makes the file); adds that score.
    dists
        Weights of DISTS; adds that score.
    pictures
        A folder for the worst crops and an error map of each image.
    json
        Also write the scores of each image to this file.
    """
    reuse_memory()
    from hfmoe.cli.scoring import ProtocolSettings, Task, ending_pair, score

    settings = ProtocolSettings(sigma, quality, targets, ending_pair(suffixes))
    outputs = {"pictures": pictures, "json": json}
    judges = {"lpips": lpips, "dists": dists}
    task = Task(model, folder, scale, protocol, settings, effort, ensemble, against, **judges, **outputs)
    score(task)


@command()
def info(model: str, /, *, size: str = "256x256", json: Path | None = None) -> None:
    """Show what a model or preset costs: parameters, multiply-adds, latency, peak memory.

    Parameters
    ----------
    model
        A model that ships, a weights file, or a preset such as tiny-x2.
    size
        Height and width of the input, in pixels.
    json
        Also write the figures to this file.
    """
    reuse_memory()
    from hfmoe.cli.describing import show_info

    show_info(model, size=size, file=json)


@command()
def bench(
    model: str,
    /,
    *,
    sizes: str = "128,256,512",
    efforts: str = "0.5",
    forms: str = "eager",
    threads: int | None = None,
    rounds: int = 15,
    seconds: float = 20.0,
    memory: bool = True,
    image: Path | None = None,
    clock: str = "wall",
    json: Path | None = None,
    plot: Path | None = None,
) -> None:
    """Measure time, throughput, memory and multiply-adds by input size, effort and form, and how they grow.

    Parameters
    ----------
    model
        A model that ships, a weights file, or a preset, which is then untrained.
    sizes
        Sides of square inputs in pixels, with commas between.
    efforts
        Efforts in [0, 1], with commas between.
    forms
        eager, compiled (all is both), and files that `hfmoe export` wrote of this model, with commas between.
    threads
        Threads of a run; torch's own choice by default.
    rounds
        Times that each case is run, in turn with the others of its size.
    seconds
        A case that takes longer is run fewer times, at least three.
    memory
        Measure peak memory too, each case in a fresh process.
    image
        A photo to run on, cut or mirrored to each size; drawn noise by default.
    clock
        wall, or cpu: processor time, which other programs take no part of.
    json
        Also write all figures to this file.
    plot
        Also draw time and memory over the input's pixels to this PNG file.
    """
    from hfmoe.cli.benching import parse_plan, run_bench

    settings = {"rounds": rounds, "seconds": seconds, "memory": memory, "photo": image, "clock": clock}
    plan = parse_plan(model, sizes=sizes, efforts=efforts, forms=forms, threads=threads, **settings)
    run_bench(plan, file=json, plot=plot)


@command()
def export(
    model: str,
    /,
    *,
    format: str,
    precision: str = "fp32",
    output: Path | None = None,
    calibration: Path | None = None,
    verify: Annotated[bool, Parameter(negative="")] = False,
    json: Path | None = None,
) -> int:
    """Write a model for another runtime, with batch, height and width free.

    Parameters
    ----------
    model
        A model that ships or a weights file.
    format
        onnx, openvino (an .xml and a .bin beside it) or pt2 (for torch.export.load).
    precision
        fp32, fp16 (weights in half the bytes, computed in fp32), bf16 (openvino: computed in bfloat16 where
        the processor can) or int8 (3x3 convolutions in 8 bits).
    output
        The file to write; default <model>.onnx, .xml or .pt2 in this folder.
    calibration
        Folder of photos that int8 takes its ranges from.
    verify
        Run the file beside eager PyTorch at several sizes; exit status 1 when it is too far from it.
    json
        Also write what --verify finds to this file.
    """
    reuse_memory()
    from hfmoe.cli.exporting import export_file, make_order

    order = make_order(format, precision, calibration)
    return export_file(model, order, output=output, checked=verify, report=json)


@command()
def models() -> None:
    """List the models that ship with the package."""
    from hfmoe.cli.describing import show_models

    show_models()
