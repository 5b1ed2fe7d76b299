"""Panels of an inspection: each draws one aspect of a network into a figure or a part of one."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hfmoe.evaluate.figure import bare, pixels, show_image, show_map
from hfmoe.inspection.field import radius
from hfmoe.inspection.maps import filter_energy, mean_kernels, span, spread, varied_kernels
from hfmoe.inspection.trace import ImageBands, Trace
from hfmoe.nn.experts import LayerRouting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

COLOURS = ("#4477aa", "#eecc33", "#cc3344", "#882299")
"""Of experts, cheapest first: cool to hot."""

FIELD_DECADES = 4.0
"""Powers of ten below its maximum that a receptive field is drawn over."""


class Subject(NamedTuple):
    """The image that is looked at, what it is called, and what its network pads it to."""

    name: str
    image: Float[Tensor, "c h w"]
    multiple: int

    def fit(self, values: Tensor) -> Tensor:
        """A map of the padded image at the size of the image."""
        height, width = self.image.shape[-2:]
        return spread(values, height=height, width=width, multiple=self.multiple)


def draw_bands(
    figure: "FigureBase", subject: Subject, bands: ImageBands, seen: Trace, *, split: bool
) -> None:
    """The image and its bands, and the strength of what each path gets of the features."""
    if split:
        title = "Frequency split: low band (half resolution) and high band = input - enlarged low band"
        paths = ("low band", "high band")
    else:
        title = "No frequency split: 2x2 means to the low path, everything to the high one"
        paths = ("low path", "high path")
    figure.suptitle(title)
    axes = figure.subplots(1, 5)
    show_image(axes[0], subject.image, subject.name)
    show_image(axes[1], bands.low, "image, low band" if split else "image, 2x2 means")
    gain = 0.5 / span(bands.high.abs()).high
    detail = "high band" if split else "detail"
    show_image(axes[2], 0.5 + gain * bands.high, f"image, {detail} ({gain:.1f}x, gray = 0)")
    for place, name, band in ((3, paths[0], seen.low), (4, paths[1], seen.high)):
        values = subject.fit(band)
        label = "root mean square of channels"
        show_map(axes[place], values, f"features, {name}", **span(values)._asdict(), label=label)


def draw_experts(
    figure: "FigureBase", subject: Subject, seen: Trace, costs: dict[str, list[float]], *, effort: float
) -> None:
    """The expert of each window over the image, layer by layer, with each expert's share."""
    figure.suptitle(f"Expert of each window (first choice), effort {effort:g}; energy: what tells the router")
    layers = len(seen.routing)
    axes = figure.subplots(1, layers + 1, squeeze=False)[0]
    energy = subject.fit(seen.energy)
    low, high = float(energy.min()), float(energy.max())
    label = "log of the detail's energy, 0 = typical"
    show_map(
        axes[0], energy, "energy of the detail by window", low=low, high=max(high, low + 1e-6), label=label
    )
    for axis, (name, routing) in zip(axes[1:], seen.routing.items(), strict=True):
        _overlay(axis, subject, routing, name, costs[name])


def draw_gates(figure: "FigureBase", subject: Subject, seen: Trace) -> None:
    """The chosen expert's weight by window, and how far each band listens to the other."""
    figure.suptitle("Gates: weight of the chosen expert by window; how much each band takes from the other")
    maps = {f"router, {name}": layer.gate[0, ..., 0] for name, layer in seen.routing.items()}
    if seen.gate_low is not None and seen.gate_high is not None:
        maps |= {"fusion: low takes from high": seen.gate_low, "fusion: high takes from low": seen.gate_high}
    axes = figure.subplots(1, max(len(maps), 1), squeeze=False)[0]
    for axis, (name, values) in zip(axes, maps.items(), strict=False):
        low, high = (0.0, 1.0) if name.startswith("router") else (0.0, max(float(values.max()), 1e-6))
        title = f"{name}\nmean {float(values.mean()):.2f}"
        show_map(axis, subject.fit(values), title, low=low, high=high, label="gate")
    if not maps:
        _absent(axes[0], "this network has neither mixtures nor cross-attention")


def draw_filters(figure: "FigureBase", subject: Subject, seen: Trace) -> None:
    """Where the dynamic filters act, what they are on average, and how much they vary."""
    figure.suptitle("Dynamic filters: what each pixel's kernel adds to the identity")
    if seen.kernels is None:
        _absent(figure.subplots(), "this network has no dynamic filter")
        return
    groups = len(seen.kernels)
    shown = min(groups, 2)
    axes = figure.subplots(1, 1 + 2 * shown)
    energy = subject.fit(filter_energy(seen.kernels))
    label = "root of summed squares"
    show_map(axes[0], energy, "energy of the kernels by pixel", **span(energy)._asdict(), label=label)
    means, deviations = mean_kernels(seen.kernels)[:shown], varied_kernels(seen.kernels)[:shown]
    most = max(float(means.abs().max()), float(deviations.max()), 1e-12)
    for group in range(shown):
        _kernel(axes[1 + 2 * group], means[group], f"group {group + 1} of {groups}: mean kernel", most)
        _kernel(axes[2 + 2 * group], deviations[group], f"group {group + 1}: deviation over pixels", most)


def draw_field(figure: "FigureBase", field: Float[Tensor, "s s"], *, squares: int, window: int) -> None:
    """The receptive field of a pixel, with the squares that hold most of it and the pixel's window."""
    middle = field.shape[0] // 2
    figure.suptitle(f"Effective receptive field: input pixels that one result depends on, {squares} places")
    image, profile = figure.subplots(1, 2)
    relative = (field / field.max().clamp_min(1e-30)).clamp_min(10.0**-FIELD_DECADES).log10()
    label = "log10 of |gradient| over its maximum"
    show_map(
        image,
        relative,
        "gradient, down to 1 / 10 000 of its maximum",
        low=-FIELD_DECADES,
        high=0.0,
        label=label,
    )
    seen = relative.gt(-FIELD_DECADES).nonzero()
    reach = min(middle, max(window // 2, int((seen - middle).abs().max())) + 3)
    image.set_xlim(middle - reach - 0.5, middle + reach + 0.5)
    image.set_ylim(middle + reach + 0.5, middle - reach - 0.5)
    for share, colour in ((0.5, "#66ccee"), (0.95, "#ffffff")):
        side = 2 * radius(field, at=(middle, middle), share=share) + 1
        _outline(image, float(middle), side, colour, f"{share:.0%} of the gradient: {side} x {side}")
    _outline(image, middle - 0.5, window, "#22aa55", f"coarsest window: {window} x {window}")
    image.legend(loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=2, fontsize=9, facecolor="#888888")
    reaches = range(middle + 1)
    within = [float(_square(field, middle, each) / field.sum().clamp_min(1e-30)) for each in reaches]
    profile.plot(list(reaches), within, color="#4477aa")
    profile.set_xlabel("distance from the middle in input pixels")
    profile.set_ylabel("share of the gradient within")
    profile.set_ylim(0, 1.02)
    profile.set_xlim(0, reach)
    profile.grid(alpha=0.3)
    profile.set_title("how much lies how near", fontsize=10)


def draw_spectrum(
    figure: "FigureBase", ratios: dict[str, Float[Tensor, " n"]], *, scale: int, reference: str = "truth"
) -> None:
    """Energy over the truth's, or another reference's, by frequency: above 1 is sharper than that."""
    figure.suptitle(f"Sharpness: energy over that of {reference} by radial frequency of the luma")
    axes = figure.subplots()
    for (name, ratio), colour in zip(ratios.items(), ("#cc3344", "#4477aa", "#228833"), strict=False):
        places = (np.arange(len(ratio)) + 0.5) / (2 * len(ratio))
        axes.plot(places, ratio.numpy(), label=name, color=colour, linewidth=1.8)
    axes.axhline(1, color="black", linewidth=0.8)
    axes.text(0.005, 1.04, f"above: sharper than {reference}; below: blurred", fontsize=9, va="bottom")
    if scale > 1:
        axes.axvline(0.5 / scale, color="gray", linestyle=":")
        axes.text(0.5 / scale + 0.004, 1.6, "finest of the input", fontsize=9, color="gray")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    drawn = torch.cat(list(ratios.values()))
    drawn = drawn[torch.isfinite(drawn) & (drawn > 0)]
    floor = min(0.5, float(drawn.min())) if len(drawn) else 0.5
    axes.set_ylim(max(floor * 0.8, 1e-4), 3)
    axes.yaxis.set_minor_formatter("{x:g}" if floor > 0.1 else "")
    axes.set_xlim(0, 0.5)
    axes.set_xlabel("radial frequency in cycles a pixel of the result")
    axes.set_ylabel(f"energy / energy of {reference}")
    axes.grid(alpha=0.3, which="both")
    axes.legend()


def _overlay(axes: "Axes", subject: Subject, routing: LayerRouting, name: str, costs: list[float]) -> None:
    """The image in gray under its windows' experts, with a legend of shares."""
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    chosen = subject.fit(routing.chosen[0, ..., 0])
    axes.imshow(pixels(subject.image.mean(0, keepdim=True)), interpolation="nearest")
    colours: Any = ListedColormap(COLOURS[: len(costs)])
    axes.imshow(chosen.numpy(), cmap=colours, vmin=-0.5, vmax=len(costs) - 0.5, alpha=0.45)
    patches = [
        Patch(color=COLOURS[index], alpha=0.7, label=f"cost {cost:.2g}: {share:.0%}")
        for index, (cost, share) in enumerate(zip(costs, routing.load.tolist(), strict=True))
    ]
    axes.legend(handles=patches, loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=2, fontsize=8)
    height = subject.image.shape[-2] + -subject.image.shape[-2] % subject.multiple
    bare(axes, f"{name}\nwindows of {height // routing.chosen.shape[1]} pixels")


def _kernel(axes: "Axes", kernel: Float[Tensor, "k k"], title: str, most: float) -> None:
    axes.imshow(kernel.numpy(), cmap="coolwarm", vmin=-most, vmax=most)
    for row, values in enumerate(kernel.tolist()):
        for column, value in enumerate(values):
            axes.text(column, row, f"{value:+.2f}", ha="center", va="center", fontsize=8)
    bare(axes, title)


def _outline(axes: "Axes", middle: float, side: int, colour: str, label: str) -> None:
    from matplotlib.patches import Rectangle

    corner = (middle - side / 2, middle - side / 2)
    patch = Rectangle(corner, side, side, fill=False, edgecolor=colour, linewidth=1.4, label=label)
    axes.add_patch(patch)


def _square(field: Tensor, middle: int, reach: int) -> Tensor:
    part = slice(middle - reach, middle + reach + 1)
    return field[part, part].sum()


def _absent(axes: "Axes", why: str) -> None:
    axes.text(0.5, 0.5, why, ha="center", va="center")
    axes.set_axis_off()
