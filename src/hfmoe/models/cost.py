"""Cost of a configuration: parameters and multiply-adds."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from hfmoe.models.config import HFMoEConfig
from hfmoe.models.network import HFMoE
from hfmoe.nn.block import HybridWindowBlock
from hfmoe.nn.experts import MoEFFN
from hfmoe.nn.routing import Routed, cost_prior


class Parameters(NamedTuple):
    """All parameters, and those one window uses on average when routing follows the cost prior."""

    total: int
    active: int


class MultiplyAdds(NamedTuple):
    """Multiply-adds of one image: the `top_k` heaviest experts everywhere, and loads that follow 1 / cost."""

    dense: int
    expected: int


class Shares(NamedTuple):
    """Cost of a mixture over its heaviest expert's: at most, and when choices follow the cost prior."""

    most: float
    expected: float


def shares(layer: MoEFFN) -> Shares:
    """Return the cost of a mixture's `top_k` choices as a share of its heaviest expert's."""
    most = float(layer.costs.topk(layer.top_k).values.sum())
    return Shares(most, min(most, layer.top_k * float((cost_prior(layer.costs) * layer.costs).sum())))


def count_parameters(config: HFMoEConfig) -> Parameters:
    """Parameters of the network that `config` describes, before folding."""
    network = built(config)
    total = sum(parameter.numel() for parameter in network.parameters())
    idle = 0.0
    for layer in network.modules():
        if isinstance(layer, MoEFFN):
            sizes = [sum(p.numel() for p in expert.parameters()) for expert in layer.experts]
            used = layer.top_k * float((cost_prior(layer.costs) * torch.tensor(sizes)).sum())
            idle += sum(sizes) - used
    return Parameters(total, round(total - idle))


def built(config: HFMoEConfig) -> HFMoE:
    """A network of this configuration, made without moving torch's random state."""
    with torch.random.fork_rng(devices=[]):
        return HFMoE(config)


class Tally(nn.Module):
    """Stands in for a mixture: counts the positions it is given and returns them unchanged."""

    def __init__(self, layer: MoEFFN) -> None:
        super().__init__()
        self.layer = layer
        self.positions = 0

    def forward(self, x: Float[Tensor, "b h w c"], energy: Float[Tensor, "b y x"], **_: object) -> Routed:
        """Count the positions and pass them on."""
        self.positions += x.shape[0] * x.shape[1] * x.shape[2]
        return Routed(x)

    @property
    def heaviest(self) -> int:
        """Multiply-adds of the heaviest expert at every position."""
        matrices = (parameter for parameter in self.layer.experts[-1].parameters() if parameter.ndim == 2)
        return self.positions * sum(matrix.numel() for matrix in matrices)


def flops_of_addmm(x: torch.Size, a: torch.Size, b: torch.Size, **_: object) -> int:
    """Operations of the in-place x + a b, which torch's counter does not know."""
    return 2 * a[0] * a[1] * b[1]


class Work(NamedTuple):
    """Multiply-adds of all but the mixtures, and of each mixture if its heaviest expert ran everywhere."""

    common: int
    heaviest: tuple[int, ...]

    def at(self, costs: Sequence[float]) -> int:
        """Multiply-adds when each mixture costs this share of its heaviest expert, in forward order."""
        pairs = zip(costs, self.heaviest, strict=True)
        return round(self.common + sum(cost * heaviest for cost, heaviest in pairs))


def count_work(config: HFMoEConfig, height: int, width: int) -> Work:
    """Multiply-adds of the folded network for a (1, channels, height, width) input.

    Convolutions (the bilinear base is one), matrix products, attention, dynamic filters and experts
    count; elementwise operations do not.
    """
    with torch.device("meta"):
        network = HFMoE(config)
        image = torch.zeros(1, config.channels, height, width)
    tallies = []
    for block in network.modules():
        if isinstance(block, HybridWindowBlock) and isinstance(block.ffn, MoEFFN):
            block.ffn = Tally(block.ffn)
            tallies.append(block.ffn)
    counter = FlopCounterMode(display=False, custom_mapping={torch.ops.aten.addmm_: flops_of_addmm})
    with counter, torch.no_grad():
        network(image)
    multiple = config.size_multiple
    pixels = (height + -height % multiple) * (width + -width % multiple) // config.folding**2
    filters = pixels * config.dynamic_width * config.dynamic_kernel**2 if config.dynamic_filter else 0
    return Work(counter.get_total_flops() // 2 + filters, tuple(tally.heaviest for tally in tallies))


def multiply_adds(config: HFMoEConfig, height: int, width: int) -> MultiplyAdds:
    """Multiply-adds of one image with the heaviest experts, and with loads that follow the cost prior."""
    costs = [shares(layer) for layer in built(config).modules() if isinstance(layer, MoEFFN)]
    work = count_work(config, height, width)
    return MultiplyAdds(work.at([cost.most for cost in costs]), work.at([cost.expected for cost in costs]))
