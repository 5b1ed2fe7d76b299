"""`hfmoe inspect`: pictures of what a network does with an image, its routing over a folder."""

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, NamedTuple

from cyclopts import Parameter
from einops import reduce, repeat
from rich.table import Table
from torch import Tensor

from hfmoe.cli.errors import UsageError
from hfmoe.cli.output import tables
from hfmoe.evaluate.protocols import EvaluationProtocol, ProtocolSettings, choose_protocol, default_protocol
from hfmoe.image.files import READ_SUFFIXES, ImageError, flatten, list_images, read_picture
from hfmoe.infer.measure import describe
from hfmoe.inspect.inspection import inspect_image, write_inspection
from hfmoe.inspect.routing import RoutingReport, routing_report
from hfmoe.models.weights import Loaded

LARGEST_SIDE = 1024
"""Larger images are inspected in their middle: maps of more windows cannot be read anyway."""


@dataclass(frozen=True)
class InspectOptions:
    """Options of an inspection, and place of its results.

    Parameters
    ----------
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

    output: Path | None = None
    truth: Path | None = None
    degrade: bool = False
    sigma: float = 25.0
    quality: int = 10
    effort: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.effort <= 1:
            raise ValueError(f"effort {self.effort} must be in [0, 1]")
        if self.degrade and self.truth is not None:
            raise ValueError("degrade makes the truth of the image itself; give no --truth")


class Given(NamedTuple):
    """An image for the network, and its truth where there is one."""

    name: str
    image: Tensor
    truth: Tensor | None


def inspect(
    model: str,
    source: Annotated[Path, Parameter(name="IMAGE")],
    /,
    *,
    options: Annotated[InspectOptions, Parameter(name="*")] = InspectOptions(),  # noqa: B008 (frozen)
) -> None:
    """Show what a model does with an image: bands, experts, gates, filters, receptive field, sharpness.

    Of a folder, how the mixtures use their experts over all its images, as a table.

    Parameters
    ----------
    model
        A model that ships, a weights file, or a preset, which is then untrained.
    source
        An image file or a folder of them.
    """
    loaded = describe(model)
    if source.is_dir():
        _inspect_folder(model, source, options, loaded)
        return
    if source.suffix.lower() not in READ_SUFFIXES:
        raise ImageError(f"{source}: suffix must be one of {', '.join(READ_SUFFIXES)}")
    given = (_degraded if options.degrade else _as_it_is)(model, source, options, loaded)
    found = inspect_image(
        loaded.network.requires_grad_(False),
        given.image,
        name=given.name,
        effort=options.effort,
        truth=given.truth,
    )
    folder = options.output or source.with_name(f"{source.stem}-inspection")
    for path in write_inspection(found, folder):
        sys.stdout.write(f"{path}\n")


def _inspect_folder(model: str, source: Path, options: InspectOptions, loaded: Loaded) -> None:
    if options.truth is not None:
        raise UsageError("--truth is for one image, not a folder")
    if options.output is not None and options.output.is_file():
        raise UsageError(f"--output {options.output} is a file; a folder is needed")
    images = _all(model, source, options, loaded)
    report = routing_report(loaded.network.requires_grad_(False), images, effort=options.effort)
    tables().print(_routing_table(report, f"{model} over {source.name}"))
    if options.output is not None:
        options.output.mkdir(parents=True, exist_ok=True)
        path = options.output / "routing.json"
        path.write_text(json.dumps(report.to_dict(), indent=2) + "\n", encoding="utf-8")
        sys.stdout.write(f"{path}\n")


def _all(model: str, source: Path, options: InspectOptions, loaded: Loaded) -> Iterator[Tensor]:
    if options.degrade:
        for pair in _protocol(model, loaded, options).pairs(source):
            yield middle(fitted(pair.degraded, loaded.config.channels))
        return
    paths = list_images(source)
    if not paths:
        raise ImageError(f"{source}: the folder holds no images")
    for path in paths:
        yield middle(_read(path, loaded.config.channels))


def _as_it_is(_model: str, source: Path, options: InspectOptions, loaded: Loaded) -> Given:
    whole = _read(source, loaded.config.channels)
    image = middle(whole)
    if options.truth is None:
        return Given(source.name, image, None)
    truth, scale = _read(options.truth, loaded.config.channels), loaded.config.scale
    due = tuple(side * scale for side in whole.shape[-2:])
    if tuple(truth.shape[-2:]) != due:
        raise ImageError(f"{options.truth}: height and width {tuple(truth.shape[-2:])} must be {due}")
    return Given(source.name, image, middle(truth, most=LARGEST_SIDE * scale))


def _degraded(model: str, source: Path, options: InspectOptions, loaded: Loaded) -> Given:
    """The image degraded by the protocol of the model's task, and the image itself as truth."""
    protocol = _protocol(model, loaded, options)
    with TemporaryDirectory() as place:
        shutil.copy(source, place)
        (pair,) = protocol.pairs(Path(place))
    channels, scale = loaded.config.channels, loaded.config.scale
    image, truth = fitted(pair.degraded, channels), fitted(pair.target, channels)
    return Given(pair.name, middle(image), middle(truth, most=LARGEST_SIDE * scale))


def _protocol(model: str, loaded: Loaded, options: InspectOptions) -> EvaluationProtocol:
    scale = loaded.config.scale
    name = default_protocol(loaded.facts.task, scale=scale, channels=loaded.config.channels)
    if name == "paired":
        raise UsageError(f"{model} is for real photos; give --truth in place of --degrade")
    return choose_protocol(name, scale=scale, settings=ProtocolSettings(options.sigma, options.quality))


def _read(path: Path, channels: int) -> Tensor:
    return fitted(flatten(read_picture(path)).colour[None], channels)


def fitted(image: Tensor, channels: int) -> Tensor:
    """A batch with as many channels as the network takes: gray repeated, colours averaged."""
    if image.shape[1] == channels:
        return image
    if channels == 1:
        return reduce(image, "b c h w -> b 1 h w", "mean")
    return repeat(image, "b 1 h w -> b c h w", c=channels)


def middle(image: Tensor, *, most: int = LARGEST_SIDE) -> Tensor:
    """The middle of an image, at most so many pixels a side."""
    height, width = image.shape[-2:]
    top, left = (max(0, (side - most) // 2) for side in (height, width))
    return image[..., top : top + most, left : left + most]


def _routing_table(report: RoutingReport, title: str) -> Table:
    table = Table(title=f"{title}, {report.images} images, effort {report.effort:g}")
    for column in (
        "mixture",
        "load by expert, cheap first",
        "aim",
        "cost",
        "entropy",
        "within image",
        "gate",
    ):
        table.add_column(column)
    table.add_column("verdict")
    for layer in report.layers:
        shares, aim = (" ".join(f"{x:.0%}" for x in each) for each in (layer.load, layer.prior))
        unused = ", ".join(str(index + 1) for index in layer.unused)
        verdict = "collapsed" if layer.collapsed else f"unused: {unused}" if unused else "in use"
        figures = (layer.expected_cost, layer.entropy, layer.within, layer.gate)
        table.add_row(layer.name, shares, aim, *(f"{value:.2f}" for value in figures), verdict)
    return table
