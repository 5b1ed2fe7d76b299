"""The work of `hfmoe inspect`: pictures of what a network does with an image, its routing over a folder."""

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from einops import reduce, repeat
from rich.table import Table
from torch import Tensor

from hfmoe.cli.errors import UsageError
from hfmoe.cli.reports import tables
from hfmoe.evaluate.choice import ProtocolSettings, choose_protocol, default_protocol
from hfmoe.evaluate.protocol import EvaluationProtocol
from hfmoe.image.files import READ_SUFFIXES, ImageError, flatten, list_images, read_picture
from hfmoe.infer.measure import describe
from hfmoe.inspect.inspection import inspect_image, write_inspection
from hfmoe.inspect.routing import RoutingReport, routing_report
from hfmoe.models.weights import Loaded

LARGEST_SIDE = 1024
"""Larger images are inspected in their middle: maps of more windows cannot be read anyway."""


@dataclass(frozen=True)
class InspectOptions:
    """What to inspect, as given on the command line."""

    model: str
    source: Path
    output: Path | None
    truth: Path | None
    degrade: bool
    effort: float
    settings: ProtocolSettings


class Given(NamedTuple):
    """An image for the network, and its truth where there is one."""

    name: str
    image: Tensor
    truth: Tensor | None


def inspect(look: InspectOptions) -> None:
    """Inspect a file or the routing over a folder."""
    if not 0 <= look.effort <= 1:
        raise UsageError(f"--effort {look.effort} must be in [0, 1]")
    if look.degrade and look.truth is not None:
        raise UsageError("--degrade makes the truth of the image itself; give no --truth")
    loaded = describe(look.model)
    if look.source.is_dir():
        _inspect_folder(look, loaded)
        return
    if look.source.suffix.lower() not in READ_SUFFIXES:
        raise ImageError(f"{look.source}: suffix must be one of {', '.join(READ_SUFFIXES)}")
    given = _degraded(look, loaded) if look.degrade else _as_it_is(look, loaded)
    found = inspect_image(
        loaded.network.requires_grad_(False),
        given.image,
        name=given.name,
        effort=look.effort,
        truth=given.truth,
    )
    folder = look.output or look.source.with_name(f"{look.source.stem}-inspection")
    for path in write_inspection(found, folder):
        sys.stdout.write(f"{path}\n")


def _inspect_folder(look: InspectOptions, loaded: Loaded) -> None:
    if look.truth is not None:
        raise UsageError("--truth is for one image, not a folder")
    if look.output is not None and look.output.is_file():
        raise UsageError(f"--output {look.output} is a file; a folder is needed")
    images = _all(look, loaded)
    report = routing_report(loaded.network.requires_grad_(False), images, effort=look.effort)
    tables().print(_routing_table(report, f"{look.model} over {look.source.name}"))
    if look.output is not None:
        look.output.mkdir(parents=True, exist_ok=True)
        path = look.output / "routing.json"
        path.write_text(json.dumps(report.to_dict(), indent=2) + "\n", encoding="utf-8")
        sys.stdout.write(f"{path}\n")


def _all(look: InspectOptions, loaded: Loaded) -> Iterator[Tensor]:
    if look.degrade:
        for pair in _protocol(loaded, look).pairs(look.source):
            yield middle(fitted(pair.degraded, loaded.config.channels))
        return
    paths = list_images(look.source)
    if not paths:
        raise ImageError(f"{look.source}: the folder holds no images")
    for path in paths:
        yield middle(_read(path, loaded.config.channels))


def _as_it_is(look: InspectOptions, loaded: Loaded) -> Given:
    whole = _read(look.source, loaded.config.channels)
    image = middle(whole)
    if look.truth is None:
        return Given(look.source.name, image, None)
    truth, scale = _read(look.truth, loaded.config.channels), loaded.config.scale
    due = tuple(side * scale for side in whole.shape[-2:])
    if tuple(truth.shape[-2:]) != due:
        raise ImageError(f"{look.truth}: height and width {tuple(truth.shape[-2:])} must be {due}")
    return Given(look.source.name, image, middle(truth, most=LARGEST_SIDE * scale))


def _degraded(look: InspectOptions, loaded: Loaded) -> Given:
    """The image degraded by the protocol of the model's task, and the image itself as truth."""
    protocol = _protocol(loaded, look)
    with TemporaryDirectory() as place:
        shutil.copy(look.source, place)
        (pair,) = protocol.pairs(Path(place))
    channels, scale = loaded.config.channels, loaded.config.scale
    image, truth = fitted(pair.degraded, channels), fitted(pair.target, channels)
    return Given(pair.name, middle(image), middle(truth, most=LARGEST_SIDE * scale))


def _protocol(loaded: Loaded, look: InspectOptions) -> EvaluationProtocol:
    scale = loaded.config.scale
    name = default_protocol(loaded.facts.task, scale=scale, channels=loaded.config.channels)
    if name == "paired":
        raise UsageError(f"{look.model} is for real photos; give --truth in place of --degrade")
    return choose_protocol(name, scale=scale, settings=look.settings)


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
