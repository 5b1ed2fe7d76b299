"""An inspection: what a network does with one image, as pictures by aspect and figures as JSON."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from hfmoe.image.files import Picture, write_picture
from hfmoe.image.picture import round_to_8bit
from hfmoe.image.resize import resize
from hfmoe.inspect.field import mean_field, radius
from hfmoe.inspect.panels import Subject, bands_row, experts_row, field_row, filters_row, gates_row
from hfmoe.inspect.routing import layer_report
from hfmoe.inspect.spectrum import energy_ratio
from hfmoe.inspect.trace import NetworkTrace, image_bands, mixtures, trace
from hfmoe.metrics.grid import grid_strength
from hfmoe.models.network import HFMoE
from hfmoe.report.sheet import Row, spectrum_row, write_row, write_rows

FIELD_WINDOWS = 7
"""Side of the square that a receptive field is looked for in, in coarsest windows."""

FIELD_PLACES = 4
WIDTH = 18.0


@dataclass(frozen=True)
class NetworkInspection:
    """Results on one image: panels by file name, and their figures as plain values."""

    panels: dict[str, Row]
    restored: Float[Tensor, "c h w"]
    facts: dict[str, Any]


def inspect_image(
    network: HFMoE,
    image: Float[Tensor, "1 c h w"],
    *,
    name: str,
    effort: float = 0.5,
    truth: Float[Tensor, "1 d H W"] | None = None,
) -> NetworkInspection:
    """Run a network on one image in [0, 1] of its channels, and prepare every panel.

    Raises ValueError when the truth is not of the result's size.
    """
    seen = trace(network, image, effort=effort)
    scale, window = network.config.scale, network.config.size_multiple
    subject = Subject(name, image[0], window)
    bands = image_bands(network, image)
    aspect = min(max(image.shape[-2] / image.shape[-1], 0.3), 2.0)
    tall = aspect * WIDTH / 5 + 1.2
    columns = max(3, len(seen.routing) + 1)
    costs = dict(zip(seen.routing, [part.costs.tolist() for part in mixtures(network)], strict=True))
    field = _field(network, image, FIELD_WINDOWS * window, effort=effort)
    split = network.config.frequency_split
    panels = {
        "bands": bands_row(subject, bands, seen, split=split, height=tall),
        "experts": experts_row(subject, seen, costs, effort=effort, height=aspect * WIDTH / columns + 1.8),
        "gates": gates_row(subject, seen, height=tall),
        "filters": filters_row(subject, seen, height=tall),
        "field": field_row(field, squares=FIELD_PLACES, window=window, height=5.5),
    }
    facts = {**_facts(network, seen), "effort": effort, "receptive_field": _reaches(field)}
    facts["grid"] = None if scale == 1 else _grid(network, effort=effort)
    if truth is not None:
        ratios = sharpness(seen.restored, image, truth, scale=scale)
        panels["spectrum"] = spectrum_row(ratios, reference="truth", scale=scale, height=5.5)
        facts["energy_over_truth"] = {each: _finite(ratio.tolist()) for each, ratio in ratios.items()}
    return NetworkInspection(panels, seen.restored[0].clamp(0, 1), facts)


def sharpness(
    restored: Float[Tensor, "1 c H W"],
    image: Float[Tensor, "1 c h w"],
    truth: Float[Tensor, "1 d H W"],
    *,
    scale: int,
) -> dict[str, Float[Tensor, " n"]]:
    """Return energy over the truth's by frequency, of the result and of the image enlarged by bicubic."""
    plain = resize(image, scale=scale) if scale > 1 else image
    named = {"restored": restored, "bicubic" if scale > 1 else "input": plain}
    return {name: energy_ratio(round_to_8bit(each)[0], truth[0]) for name, each in named.items()}


def write_inspection(inspection: NetworkInspection, folder: Path) -> list[Path]:
    """Write every picture, the overview, the restored image and `inspection.json`; return their paths.

    Raises ImageError (OSError for the JSON) naming a file that cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, panel in inspection.panels.items():
        write_row(panel, folder / f"{name}.png", width=WIDTH)
    write_rows(list(inspection.panels.values()), folder / "overview.png", width=WIDTH)
    write_picture(folder / "restored.png", Picture(inspection.restored))
    facts = folder / "inspection.json"
    facts.write_text(json.dumps(inspection.facts, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return [*(folder / f"{name}.png" for name in (*inspection.panels, "overview", "restored")), facts]


def _field(network: HFMoE, image: Tensor, side: int, *, effort: float) -> Tensor:
    return mean_field(
        lambda part: network(part, effort=effort).image,
        image,
        grid=network.config.size_multiple,
        side=side,
        most=FIELD_PLACES,
    )


def _facts(network: HFMoE, seen: NetworkTrace) -> dict[str, Any]:
    pairs = zip(seen.routing.items(), mixtures(network), strict=True)
    layers = [layer_report(name, part.costs, [routing]) for (name, routing), part in pairs]
    gates = {"low": seen.gate_low, "high": seen.gate_high}
    return {
        "layers": [{**vars(layer), "collapsed": layer.collapsed} for layer in layers],
        "fusion_gates": {name: float(gate.mean()) for name, gate in gates.items() if gate is not None},
        "band_rms": {"low": float(seen.low.mean()), "high": float(seen.high.mean())},
    }


def _grid(network: HFMoE, *, effort: float) -> dict[str, float]:
    """Strength of the grid that it draws on flat noise, by gray level: 1 is none, above 6 shows."""
    config = network.config
    found = grid_strength(
        lambda image: network(image, effort=effort).image, scale=config.scale, channels=config.channels
    )
    return {f"{level:g}": strength for level, strength in found.items()}


def _reaches(field: Tensor) -> dict[str, int]:
    """Sides of the centred squares that hold so much of the gradient, in input pixels."""
    middle = (field.shape[0] // 2, field.shape[1] // 2)
    return {f"{share:.0%}": 2 * radius(field, at=middle, share=share) + 1 for share in (0.5, 0.95, 0.99, 1.0)}


def _finite(values: list[float]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values]
