"""Panels of an inspection: each is a row of cells that shows one aspect of a network."""

from typing import NamedTuple

import torch
from einops import reduce
from jaxtyping import Float, Shaped
from torch import Tensor

from hfmoe.inspect.field import radius
from hfmoe.inspect.trace import ImageBands, NetworkTrace
from hfmoe.nn.routing import LayerRouting
from hfmoe.report.sheet import (
    Cell,
    ChoiceCell,
    Frame,
    ImageCell,
    KernelCell,
    MapCell,
    NoteCell,
    Row,
    ShareCell,
)

FIELD_DECADES = 4.0
"""Powers of ten below its maximum that a receptive field is drawn over."""
MOST_GROUPS = 2
"""Groups of a dynamic filter that are drawn."""


class ColourRange(NamedTuple):
    """Values that are drawn darkest and brightest."""

    low: float
    high: float


class Subject(NamedTuple):
    """The image that is looked at, what it is called, and what its network pads it to."""

    name: str
    image: Float[Tensor, "c h w"]
    multiple: int

    def fit(self, values: Tensor) -> Tensor:
        """Return a map of the padded image at the size of the image."""
        height, width = self.image.shape[-2:]
        return spread(values, height=height, width=width, multiple=self.multiple)


def bands_row(subject: Subject, bands: ImageBands, seen: NetworkTrace, *, split: bool, height: float) -> Row:
    """Return the image and its bands, and the strength of what each path gets of the features."""
    if split:
        title = "Frequency split: low band (half resolution) and high band = input - enlarged low band"
        low, high, detail = "low band", "high band", "high band"
    else:
        title = "No frequency split: 2x2 means to the low path, everything to the high one"
        low, high, detail = "low path", "high path", "detail"
    gain = 0.5 / span(bands.high.abs()).high
    cells: list[Cell] = [
        ImageCell(subject.image, subject.name),
        ImageCell(bands.low, "image, low band" if split else "image, 2x2 means"),
        ImageCell(0.5 + gain * bands.high, f"image, {detail} ({gain:.1f}x, gray = 0)"),
    ]
    for name, band in ((low, seen.low), (high, seen.high)):
        values = subject.fit(band)
        label = "root mean square of channels"
        cells.append(MapCell(values, f"features, {name}", *span(values), label))
    return Row(cells, height, title)


def experts_row(
    subject: Subject, seen: NetworkTrace, costs: dict[str, list[float]], *, effort: float, height: float
) -> Row:
    """Return the expert of each window over the image, layer by layer, with each expert's share."""
    energy = subject.fit(seen.energy)
    low, high = float(energy.min()), float(energy.max())
    label = "log of the detail's energy, 0 = typical"
    first = MapCell(energy, "energy of the detail by window", low, max(high, low + 1e-6), label)
    layers = [_experts(subject, routing, name, costs[name]) for name, routing in seen.routing.items()]
    title = f"Expert of each window (first choice), effort {effort:g}; energy: what tells the router"
    return Row([first, *layers], height, title)


def _experts(subject: Subject, routing: LayerRouting, name: str, costs: list[float]) -> ChoiceCell:
    shares = zip(costs, routing.load.tolist(), strict=True)
    padded = subject.image.shape[-2] + -subject.image.shape[-2] % subject.multiple
    return ChoiceCell(
        subject.image,
        subject.fit(routing.chosen[0, ..., 0]),
        [f"cost {cost:.2g}: {share:.0%}" for cost, share in shares],
        f"{name}\nwindows of {padded // routing.chosen.shape[1]} pixels",
    )


def gates_row(subject: Subject, seen: NetworkTrace, *, height: float) -> Row:
    """Return the chosen expert's weight by window, and how far each band listens to the other."""
    maps = {f"router, {name}": (layer.gate[0, ..., 0], 1.0) for name, layer in seen.routing.items()}
    if seen.gate_low is not None and seen.gate_high is not None:
        fusion = {"low takes from high": seen.gate_low, "high takes from low": seen.gate_high}
        maps |= {f"fusion: {name}": (gate, max(float(gate.max()), 1e-6)) for name, gate in fusion.items()}
    cells = [
        MapCell(subject.fit(gate), f"{name}\nmean {float(gate.mean()):.2f}", 0.0, high, "gate")
        for name, (gate, high) in maps.items()
    ]
    title = "Gates: weight of the chosen expert by window; how much each band takes from the other"
    return Row(cells or [NoteCell("this network has neither mixtures nor cross-attention")], height, title)


def filters_row(subject: Subject, seen: NetworkTrace, *, height: float) -> Row:
    """Return where the dynamic filters act, what they are on average, and how much they vary."""
    title = "Dynamic filters: what each pixel's kernel adds to the identity"
    if seen.kernels is None:
        return Row([NoteCell("this network has no dynamic filter")], height, title)
    groups = len(seen.kernels)
    energy = subject.fit(filter_energy(seen.kernels))
    means = mean_kernels(seen.kernels)[:MOST_GROUPS]
    deviations = varied_kernels(seen.kernels)[:MOST_GROUPS]
    most = max(float(means.abs().max()), float(deviations.max()), 1e-12)
    label = "root of summed squares"
    cells: list[Cell] = [MapCell(energy, "energy of the kernels by pixel", *span(energy), label)]
    for group in range(len(means)):
        cells += [
            KernelCell(means[group], f"group {group + 1} of {groups}: mean kernel", most),
            KernelCell(deviations[group], f"group {group + 1}: deviation over pixels", most),
        ]
    return Row(cells, height, title)


def field_row(field: Float[Tensor, "s s"], *, squares: int, window: int, height: float) -> Row:
    """Return the receptive field of a pixel, with the squares that hold most of it and its window."""
    middle = field.shape[0] // 2
    relative = (field / field.max().clamp_min(1e-30)).clamp_min(10.0**-FIELD_DECADES).log10()
    seen = relative.gt(-FIELD_DECADES).nonzero()
    reach = min(middle, max(window // 2, int((seen - middle).abs().max())) + 3)
    frames = []
    for share, colour in ((0.5, "#66ccee"), (0.95, "#ffffff")):
        side = 2 * radius(field, at=(middle, middle), share=share) + 1
        frames.append(_centred(middle + 0.5, side, colour, f"{share:.0%} of the gradient: {side} x {side}"))
    frames.append(_centred(middle, window, "#22aa55", f"coarsest window: {window} x {window}"))
    image = MapCell(
        relative,
        "gradient, down to 1 / 10 000 of its maximum",
        -FIELD_DECADES,
        0.0,
        "log10 of |gradient| over its maximum",
        frames,
        reach,
    )
    total = field.sum().clamp_min(1e-30)
    shares = [float(_square(field, middle, each) / total) for each in range(middle + 1)]
    x, y = "distance from the middle in input pixels", "share of the gradient within"
    profile = ShareCell(shares, reach, "how much lies how near", x, y)
    title = f"Effective receptive field: input pixels that one result depends on, {squares} places"
    return Row([image, profile], height, title)


def _centred(middle: int | float, side: int, colour: str, label: str) -> Frame:
    corner = float(middle) - side / 2
    return Frame(corner, corner, float(side), float(side), colour, label)


def _square(field: Tensor, middle: int, reach: int) -> Tensor:
    part = slice(middle - reach, middle + reach + 1)
    return field[part, part].sum()


def spread(values: Shaped[Tensor, "y x"], *, height: int, width: int, multiple: int) -> Shaped[Tensor, "h w"]:
    """A coarse map of an image padded to a multiple, each value repeated over its pixels, cropped to it."""
    padded = height + -height % multiple
    each = padded // values.shape[0]
    large = values.repeat_interleave(each, 0).repeat_interleave(each, 1)
    return large[:height, :width]


def span(values: Float[Tensor, "..."], *, share: float = 0.99) -> ColourRange:
    """Return from 0 to a value that this share of the map stays below; never an empty range."""
    flat = values.flatten().float()
    place = min(len(flat) - 1, int(share * len(flat)))
    return ColourRange(0.0, max(float(flat.sort().values[place]), 1e-12))


def filter_energy(kernels: Float[Tensor, "g t h w"]) -> Float[Tensor, "h w"]:
    """Return root of the mean over groups of a pixel's sum of squared kernel values."""
    return reduce(kernels.square().sum(1), "g h w -> h w", "mean").sqrt()


def mean_kernels(kernels: Float[Tensor, "g t h w"]) -> Float[Tensor, "g k k"]:
    """Return each group's mean kernel over the image."""
    size = round(kernels.shape[1] ** 0.5)
    return reduce(kernels, "g (i j) h w -> g i j", "mean", i=size)


def varied_kernels(kernels: Float[Tensor, "g t h w"]) -> Float[Tensor, "g k k"]:
    """Standard deviation over the image of each kernel value: 0 for a filter that is not dynamic."""
    size = round(kernels.shape[1] ** 0.5)
    deviation = kernels.flatten(2).std(2, correction=0)
    return torch.unflatten(deviation, 1, (size, size))
