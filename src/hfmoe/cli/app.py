"""Entry point of the `hfmoe` command: the subcommands, their arguments, and how errors end."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter

from hfmoe import __version__
from hfmoe.cli.errors import USAGE, complain, guarded, hear_warnings
from hfmoe.infer.allocator import reuse_memory

app = App(
    name="hfmoe",
    help="Restore and upscale images, and train the networks that do it.",
    version=__version__,
    result_action="return_value",
    help_format="plaintext",
    suppress_keyboard_interrupt=False,
)


@app.command
def restore(
    inputs: Annotated[list[Path], Parameter(name="INPUT", negative="")],
    /,
    *,
    model: str | None = None,
    scale: int | None = None,
    output: str | None = None,
    format: str = "png",
    quality: int = 95,
    strip: Annotated[bool, Parameter(negative="")] = False,
    tile: str = "auto",
    effort: float = 0.5,
    strength: float = 1.0,
    ensemble: Annotated[bool, Parameter(negative="")] = False,
    device: str = "auto",
    backend: str = "auto",
) -> int:
    """Restore image files, or every image of folders.

    Parameters
    ----------
    inputs
        Image files and folders. One file is written beside its source as <stem>-x4.png, a folder
        into a folder <name>-x4; sources are never overwritten.
    model
        A model that ships (see `hfmoe models`), a weights file, or what `hfmoe export` wrote (.onnx, .xml);
        default nano-x4.
    scale
        Picks the nano model of that scale, or checks the scale of the model.
    output
        A file for one input, a folder for several; made where it is missing.
    format
        png, tif (the one that holds floats), jpg, webp or avif; the suffix of a file given as --output
        comes first.
    quality
        1 to 100 for jpg, webp and avif; the last two are lossless at 100.
    strip
        Drop EXIF, XMP and resolution; the colour profile stays.
    tile
        auto (by free memory), off (whole image), or the side of the tiles in input pixels.
    effort
        0 takes the cheapest experts, 0.5 those of training, 1 the heaviest.
    strength
        1 takes all of the restored detail, 0 only tones and the detail of the enlarged input.
    ensemble
        Average over eight flips and turns: a little better, eight times as long.
    device
        auto, cpu, cuda, cuda:N or mps.
    backend
        torch, onnx or openvino; auto takes torch for weights and its runtime for an exported file. A model
        is exported for onnx or openvino at first use and kept in ~/.cache/hfmoe.
    """
    reuse_memory()
    from hfmoe.cli.restoring import Settings, restore_files

    settings = Settings(
        model=model,
        scale=scale,
        format=format,
        quality=quality,
        strip=strip,
        tile=tile,
        effort=effort,
        strength=strength,
        ensemble=ensemble,
        device=device,
        backend=backend,
    )
    return restore_files(inputs, output, settings)


@app.command
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
        classical-sr, luma-sr, colour-denoise, gray-denoise, colour-jpeg, gray-jpeg or paired;
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
    from hfmoe.cli.scoring import Settings, Task, ending_pair, score

    settings = Settings(sigma, quality, targets, ending_pair(suffixes))
    outputs = {"pictures": pictures, "json": json}
    judges = {"lpips": lpips, "dists": dists}
    task = Task(model, folder, scale, protocol, settings, effort, ensemble, against, **judges, **outputs)
    score(task)


@app.command(usage="Usage: hfmoe train RECIPE [--field value ...] [--resume [--change]]")
def train(
    recipe: Path,
    /,
    *fields: Annotated[str, Parameter(allow_leading_hyphen=True, show=False)],
    resume: Annotated[bool, Parameter(negative="")] = False,
    change: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Train a network by a recipe.

    Any field of the recipe can be given anew: --steps 500 --optimizer.lr 5e-4 --loss.0.weight=0.5.

    Parameters
    ----------
    recipe
        YAML file; see the folder recipes.
    resume
        Go on from the last checkpoint of the run.
    change
        With --resume: take over fields of the recipe, or photos, that differ from before, and record them.
    """
    from hfmoe.cli.training import run_recipe

    run_recipe(recipe, fields, resume=resume, change=change)


@app.command(usage="Usage: hfmoe doctor [DATA ...] [--recipe RECIPE] [--pairs DEGRADED TARGET]")
def doctor(
    data: Annotated[list[Path] | None, Parameter(name="DATA", negative="")] = None,
    /,
    *,
    recipe: Path | None = None,
    pairs: tuple[Path, Path] | None = None,
    validation: Path | None = None,
    scale: int | None = None,
    preset: str | None = None,
    probe: bool | None = None,
    memory: int | None = None,
    seconds: float = 45.0,
    threads: int | None = None,
    json: Path | None = None,
) -> int:
    """Inspect training data, and measure what batch and patch fit, before a run.

    Ends with status 0 without errors (warnings and notes are none), 1 with errors, 2 for wrong usage.

    Parameters
    ----------
    data
        Folders of photos to train on; default those of the recipe.
    recipe
        Recipe of the run: its folders, patch and network.
    pairs
        A folder of degraded images and one of their targets, matched by stem.
    validation
        Folder of photos to validate on, searched for photos that are also trained on.
    scale
        Sizes of the degraded image in a pair's target; default the recipe's.
    preset
        Network to probe without a recipe, or instead of the recipe's.
    probe
        Measure training steps; default yes where a recipe or preset is given.
    memory
        Memory in MiB that training may take; default 70 % of what is free.
    seconds
        Time for the probe.
    threads
        Files read at a time; default one a processor.
    json
        Also write the whole report to this file.
    """
    from hfmoe.cli.doctoring import Request, examine

    folders = tuple(data or ())
    request = Request(
        folders, pairs, validation, recipe, preset, scale, probe, memory, seconds, threads, file=json
    )
    return examine(request)


@app.command(usage="Usage: hfmoe samples RECIPE --output FOLDER [--step N] [--count N] [--field value ...]")
def samples(
    recipe: Path,
    /,
    *fields: Annotated[str, Parameter(allow_leading_hyphen=True, show=False)],
    output: Path,
    step: int = 0,
    count: int = 8,
) -> None:
    """Show what a recipe's network learns from: degraded samples of one step, with what was done to each.

    Writes for each sample its clean source, degraded and target side, a sheet of all of them, and
    samples.json, whose operations turn the source into the degraded side again.

    Parameters
    ----------
    recipe
        YAML file; fields of it can be given anew, as for training.
    output
        Folder to write to; made where it is missing.
    step
        Step of the run, from 0.
    count
        How many samples.
    """
    from hfmoe.cli.training import show_samples

    show_samples(recipe, fields, output=output, step=step, count=count)


@app.command
def report(run: Path, /, *, output: Path | None = None) -> None:
    """Write one HTML page about a training run: curves, pictures, routing, configuration, hardware.

    Parameters
    ----------
    run
        The folder that the run writes to; the run may still be going on.
    output
        The page's file, ending in .html; default report.html in the run's folder.
    """
    from hfmoe.cli.reporting import report_run

    report_run(run, output)


@app.command
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


@app.command
def inspect(
    model: str,
    source: Annotated[Path, Parameter(name="IMAGE")],
    /,
    *,
    output: Path | None = None,
    truth: Path | None = None,
    degrade: Annotated[bool, Parameter(negative="")] = False,
    sigma: float = 25.0,
    quality: int = 10,
    effort: float = 0.5,
) -> None:
    """Show what a model does with an image: bands, experts, gates, filters, receptive field, sharpness.

    Of a folder, how the mixtures use their experts over all its images, as a table.

    Parameters
    ----------
    model
        A model that ships, a weights file, or a preset, which is then untrained.
    source
        An image file or a folder of them.
    output
        Folder for the pictures, <image>-inspection by default; for a folder's routing.json.
    truth
        What the image should become: adds the energy of the result over the truth's by frequency.
    degrade
        The image is a truth: degrade it first, by the protocol of the model's task.
    sigma
        Noise that --degrade adds for a denoiser, in 8-bit levels.
    quality
        JPEG quality of --degrade for a deblocker.
    effort
        0 takes the cheapest experts, 0.5 those of training, 1 the heaviest.
    """
    reuse_memory()
    from hfmoe.cli.inspecting import Look, Settings
    from hfmoe.cli.inspecting import inspect as look_into

    look_into(Look(model, source, output, truth, degrade, effort, Settings(sigma, quality)))


@app.command
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
        eager, compiled, exported forms, with commas between, or all.
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
    """
    from hfmoe.cli.benching import parse_plan, run_bench

    settings = {"rounds": rounds, "seconds": seconds, "memory": memory, "photo": image, "clock": clock}
    plan = parse_plan(model, sizes=sizes, efforts=efforts, forms=forms, threads=threads, **settings)
    run_bench(plan, file=json)


@app.command
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
        fp32, fp16 (weights in half the bytes, computed in fp32) or int8 (3x3 convolutions in 8 bits).
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


@app.command
def models() -> None:
    """List the models that ship with the package."""
    from hfmoe.cli.describing import show_models

    show_models()


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    hear_warnings()
    try:
        return guarded(lambda: _status(app(arguments, exit_on_error=False, print_error=False)))
    except CycloptsError as error:
        complain(error)
        return USAGE


def main() -> None:
    """Run the command line of this process and exit with its status."""
    sys.exit(run(sys.argv[1:]))


def _status(result: object) -> int:
    return result if isinstance(result, int) else 0
