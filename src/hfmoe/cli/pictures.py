"""The commands that take pictures: restore and inspect."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from hfmoe.cli.application import app
from hfmoe.infer.allocator import reuse_memory


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
