"""Use of the experts of a network's mixtures over many images."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from hfmoe.inspect.trace import mixture_names, mixtures
from hfmoe.models.network import HFMoE, LayerRouting
from hfmoe.nn.routing import cost_prior, load

LEAST_SHARE = 0.01
"""An expert that gets fewer choices than this share is called unused."""


@dataclass(frozen=True)
class LayerReport:
    """One mixture over all images.

    load: share of the choices by expert; prior: the shares that the balance loss aims at; costs: relative
    to the heaviest; expected_cost: of a window, relative to the heaviest expert. entropy: of the load,
    1 = even, 0 = one expert; within: mean entropy of single images, so within << entropy means that whole
    images are sent to one expert. gate: mean weight of the chosen. unused: experts below `LEAST_SHARE`.
    """

    name: str
    windows: int
    load: tuple[float, ...]
    prior: tuple[float, ...]
    costs: tuple[float, ...]
    expected_cost: float
    entropy: float
    within: float
    gate: float
    unused: tuple[int, ...]

    @property
    def collapsed(self) -> bool:
        """True where one expert is left."""
        return len(self.unused) == len(self.load) - 1


@dataclass(frozen=True)
class RoutingReport:
    """Every mixture of a network over a folder of images at one effort."""

    images: int
    effort: float
    layers: tuple[LayerReport, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        layers = [{**asdict(layer), "collapsed": layer.collapsed} for layer in self.layers]
        return {"images": self.images, "effort": self.effort, "layers": layers}


def routing_report(
    network: HFMoE, images: Iterable[Float[Tensor, "1 c h w"]], *, effort: float = 0.5
) -> RoutingReport:
    """Run a network over images in [0, 1] and count. Raises ValueError for no images."""
    with torch.no_grad():
        runs = [network(image, effort=effort).routing for image in images]
    if not runs:
        raise ValueError("a routing report needs at least one image")
    columns = zip(*runs, strict=True)
    parts = zip(mixture_names(network), mixtures(network), columns, strict=True)
    layers = tuple(layer_report(name, layer.costs, column) for name, layer, column in parts)
    return RoutingReport(len(runs), effort, layers)


def layer_report(name: str, costs: Float[Tensor, " e"], routings: Sequence[LayerRouting]) -> LayerReport:
    """Summarise what one mixture of these relative costs did on each image; every window counts alike."""
    experts = len(costs)
    chosen = torch.cat([each.chosen.flatten(0, 2) for each in routings])
    share = load(chosen, experts=experts)
    singles = [entropy(load(each.chosen.flatten(0, 2), experts=experts)) for each in routings]
    gates = torch.cat([each.gate.flatten() for each in routings])
    return LayerReport(
        name,
        windows=len(chosen),
        load=tuple(share.tolist()),
        prior=tuple(cost_prior(costs).tolist()),
        costs=tuple(costs.tolist()),
        expected_cost=float((share * costs).sum()) * chosen.shape[1],
        entropy=entropy(share),
        within=math.fsum(singles) / len(singles),
        gate=float(gates.mean()),
        unused=tuple(index for index, value in enumerate(share.tolist()) if value < LEAST_SHARE),
    )


def entropy(share: Float[Tensor, " e"]) -> float:
    """Return entropy of shares over that of even ones, in [0, 1]; 0 for a single expert."""
    if len(share) < 2:
        return 0.0
    return float(torch.special.entr(share.double()).sum()) / math.log(len(share))
