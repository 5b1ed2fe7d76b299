"""The commands that take pictures: restore, inspect and compare."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from hfmoe.cli.application import command
from hfmoe.cli.errors import UsageError
from hfmoe.runtime.memory import reuse_memory


@command()
def restore(
    inputs: Annotated[list[str], Parameter(name="INPUT", negative="")],
    /,
    *,
    model: str | None = None,
    scale: int | None = None,
    output: str | None = None,
    name: str | None = None,
    include: Annotated[list[str] | None, Parameter(negative="")] = None,
    exclude: Annotated[list[str] | None, Parameter(negative="")] = None,
    recursive: bool = True,
    format: str = "png",
    quality: int = 95,
    strip: Annotated[bool, Parameter(negative="")] = False,
    tile: str = "auto",
    stream: str = "auto",
    pages: Annotated[bool, Parameter(negative="")] = False,
    effort: float = 0.5,
    strength: float = 1.0,
    ensemble: Annotated[bool, Parameter(negative="")] = False,
    device: str = "auto",
    backend: str = "auto",
    workers: int = 2,
    redo: Annotated[bool, Parameter(negative="")] = False,
    engine: str = "local",
    address: str | None = None,
) -> int:
    """Restore image files, or every image of folders and of the folders in them.

    What a folder of results already has from the same files and settings is skipped, so an interrupted
    command goes on when it is given again. A bad file stops no other: the exit status is 1 then.

    Parameters
    ----------
    inputs
        Image files, folders, and patterns such as 'photos/**/*.jpg'. A file is written beside its source as
        <stem>-x4.png, a folder into a folder <name>-x4 with the same tree; sources are never overwritten.
    model
        A model that ships (see `hfmoe models`), a weights file, or what `hfmoe export` wrote (.onnx, .xml);
        default nano-x4.
    scale
        Picks the nano model of that scale, for 1 tiny-photo-x1, or checks the scale of the model.
    output
        A file for one input, a folder for several; made where it is missing.
    name
        What results are called: {stem}, {name}, {scale}, {model} and {suffix} stand for the source's name
        without and with suffix, and the result's. Default {stem}-x{scale}{suffix}.
    include
        Take only files whose name, path below the folder, or one of its folders fits this pattern; may be
        repeated. Capital letters or not, and * stands for slashes, too.
    exclude
        Leave out what fits, as with --include.
    recursive
        Take the images of folders in folders.
    format
        png, tif (the one that holds floats), jpg, webp or avif; the suffix of a file given as --output
        comes first.
    quality
        1 to 100 for jpg, webp and avif; the last two are lossless at 100.
    strip
        Drop EXIF, XMP and resolution; the colour profile stays.
    tile
        auto (by free memory), off (whole image), or the side of the tiles in input pixels.
    stream
        auto goes region by region through images that memory does not hold, by way of a raw file beside the
        result that a further call goes on with; on does so with all, off with none.
    pages
        Restore TIFF of several pages, animated WebP and GIF page by page into a tif, webp or gif.
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
    workers
        Threads that read files ahead of the network, and as many that write results behind it.
    redo
        Restore what is done, too.
    engine
        local, or ray: the same over a Ray cluster, --workers of whose processes each hold the model. Inputs
        and output may then be addresses that fsspec knows, such as s3://bucket/photos.
    address
        Of the Ray cluster, such as auto or ray://head:10001; without it one is started for the job.
    """
    reuse_memory()
    from hfmoe.cli.restoring import Order, Selection, parse_settings, restore_files

    order = Order(
        model=model,
        scale=scale,
        format=format,
        device=device,
        backend=backend,
        name=name,
        selection=Selection(include or (), exclude or (), recursive),
        workers=workers,
        redo=redo,
    )
    settings = parse_settings(
        quality=quality,
        strip=strip,
        tile=tile,
        effort=effort,
        strength=strength,
        ensemble=ensemble,
        stream=stream,
        pages=pages,
    )
    if engine == "local" and address is None:
        return restore_files(inputs, output, order, settings)
    if engine != "ray":
        raise UsageError(f"--engine {engine!r} must be local or ray; --address is of ray")
    from hfmoe.cli.clustering import restore_on_cluster

    return restore_on_cluster(inputs, output, order, settings, address=address)


@command()
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
    from hfmoe.cli.inspecting import InspectOptions, ProtocolSettings
    from hfmoe.cli.inspecting import inspect as run_inspect

    settings = ProtocolSettings(sigma, quality)
    run_inspect(InspectOptions(model, source, output, truth, degrade, effort, settings))


@command()
def compare(
    first: Annotated[Path, Parameter(name="A")],
    second: Annotated[Path, Parameter(name="B")],
    truth: Annotated[Path | None, Parameter(name="TRUTH")] = None,
    /,
    *,
    output: Path | None = None,
    side: int = 96,
    border: int = 0,
    lpips: Path | None = None,
    dists: Path | None = None,
) -> int:
    """Show two images side by side, where they differ and how they score, with a page to slide between them.

    Parameters
    ----------
    first
        An image file, or a folder of images.
    second
        Another, of the same size, or smaller by a whole factor: then it is enlarged by bicubic
        interpolation. Images of folders are matched by their names without suffix and without the -x4 of
        results.
    truth
        What both should be: adds scores, and the squares where each is farthest from it.
    output
        Folder for picture, page and scores, <B>-comparison beside B by default.
    side
        Side of the enlarged squares, in pixels.
    border
        Pixels on each side that do not count, as `hfmoe evaluate` leaves out as many as the scale.
    lpips
        Weights of LPIPS (python -m hfmoe.metrics.weights makes the file); adds that score.
    dists
        Weights of DISTS; adds that score.
    """
    reuse_memory()
    from hfmoe.cli.comparing import compare as show

    return show((first, second, truth), output, side=side, border=border, lpips=lpips, dists=dists)
