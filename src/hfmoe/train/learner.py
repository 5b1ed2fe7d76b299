"""All that learns in a run, built from its recipe: network, weight average, optimiser."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from lightning_fabric import Fabric
from torch import nn

from hfmoe.models.network import HFMoE
from hfmoe.models.weights import find_weights, load_weights
from hfmoe.train.ema import WeightAverage
from hfmoe.train.recipe import Optimizer, Recipe


@dataclass(frozen=True)
class Learner:
    """The network itself, the same as Fabric runs it, its weight average and its optimiser."""

    network: HFMoE
    model: Any
    average: WeightAverage[HFMoE]
    optimizer: torch.optim.Optimizer

    def state(self) -> dict[str, Any]:
        """Gather the state of all that learns, as tensors and plain values."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Put the state of all that learns back in place."""
        self.network.load_state_dict(state["network"])
        self.average.network.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])


class WarmStart(NamedTuple):
    """Names of the tensors that came from other weights, and of those that did not fit."""

    taken: tuple[str, ...]
    fresh: tuple[str, ...]


def build_learner(
    recipe: Recipe, fabric: Fabric, *, resumed: bool = False
) -> tuple[Learner, WarmStart | None]:
    """Build the network with weights from the recipe's seed, or from the weights it starts from.

    A resumed run reads no start weights: its checkpoint holds all.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = HFMoE(recipe.config()).train()
    start = None
    if recipe.init and not resumed:
        start = warm_start(network, load_weights(find_weights(recipe.init)).network)
    network = network.to(device=fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = WeightAverage(network)
    model, optimizer = fabric.setup(network, make_adam(network.parameters(), recipe.optimizer))
    return Learner(network, model, average, optimizer), start


def make_adam(parameters: Iterable[nn.Parameter], fields: Optimizer) -> torch.optim.Optimizer:
    """Fused Adam with decoupled weight decay over the parameters that train."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    return torch.optim.AdamW(
        trained, lr=fields.lr, betas=fields.betas, weight_decay=fields.weight_decay, fused=True
    )


def warm_start(network: nn.Module, source: nn.Module) -> WarmStart:
    """Copy every tensor whose name and shape are the same, such as all but the head of another scale."""
    given = source.state_dict()
    own = network.state_dict()
    taken = {name: given[name] for name in own if name in given and given[name].shape == own[name].shape}
    network.load_state_dict(taken, strict=False)
    return WarmStart(tuple(taken), tuple(name for name in own if name not in taken))
