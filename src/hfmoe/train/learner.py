"""The learner of a run, built from its recipe: network, weight average, optimiser, discriminator."""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import Precision
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from hfmoe.losses import UNetDiscriminator
from hfmoe.models.external import ExternalNetwork, Network, build_external
from hfmoe.models.header import find_weights
from hfmoe.models.network import HFMoE
from hfmoe.models.weights import load_weights
from hfmoe.nn.routing import cost_prior
from hfmoe.train.discriminator import DiscriminatorLearner
from hfmoe.train.execution import checkpoint_activations, compiled, gathered, shard, shared_out
from hfmoe.train.objective import Discriminate
from hfmoe.train.optimizer import make_optimizer, restore_optimizer
from hfmoe.train.recipe import Recipe

Module = TypeVar("Module", bound=nn.Module)


class WeightAverage(Generic[Module]):
    """Owns a copy of a network whose weights follow the original: average += (1 - decay) (weights - average).

    Buffers and weights that do not train are copied as they are. A `copy` made before becomes the average.
    """

    def __init__(self, network: Module, *, copy: Module | None = None) -> None:
        self.network = deepcopy(network) if copy is None else copy
        self.network.requires_grad_(False).eval()
        pairs = list(zip(self.network.parameters(), network.parameters(), strict=True))
        self._trained = [pair for pair in pairs if pair[1].requires_grad]
        self._copied: list[tuple[Tensor, Tensor]] = [pair for pair in pairs if not pair[1].requires_grad]
        self._copied.extend(zip(self.network.buffers(), network.buffers(), strict=True))

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """Move the average toward the present weights by 1 - decay."""
        averages, weights = map(list, zip(*self._trained, strict=True))
        torch._foreach_lerp_(averages, weights, 1 - decay)  # pyright: ignore[reportPrivateImportUsage]
        for average, value in self._copied:
            average.copy_(value)


@dataclass(frozen=True)
class Learner:
    """The network itself, the same as Fabric runs it, its weight average, its optimiser, its precision, which
    keeps the loss scale of float16, and the discriminator if a loss is adversarial."""

    network: Network
    model: Any
    average: WeightAverage[Network]
    optimizer: torch.optim.Optimizer
    precision: Precision
    discriminator: DiscriminatorLearner | None = None

    @property
    def discriminate(self) -> Discriminate | None:
        """The logits of the discriminator, with no gradient for itself; None where there is none."""
        return self.discriminator.logits if self.discriminator else None

    def state(self) -> dict[str, Any]:
        """Gather the state of all that learns, as whole tensors and plain values; all processes must ask."""
        return gathered(
            {
                "network": self.network.state_dict(),
                "average": self.average.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "precision": self.precision.state_dict(),
                "adversary": self.discriminator.state() if self.discriminator else None,
            }
        )

    def restore(self, state: dict[str, Any]) -> None:
        """Put the state of all that learns back in place, as shards where it is kept in shards."""
        for name, network in (("network", self.network), ("average", self.average.network)):
            network.load_state_dict(shared_out(state[name], network.state_dict()))
        restore_optimizer(self.optimizer, state["optimizer"])
        if scale := state.get("precision"):
            self.precision.load_state_dict(scale)
        if self.discriminator and state.get("adversary"):
            self.discriminator.restore(state["adversary"])

    def averaged(self) -> Network:
        """Return the network with the averaged weights, whole; all processes must ask."""
        average = self.average.network
        weight = next(average.parameters())
        if not isinstance(weight, DTensor):
            return average
        whole = HFMoE(average.config).eval().requires_grad_(False)
        whole.load_state_dict(gathered(average.state_dict()))
        return whole.to(weight.device)


def priors(network: Network) -> list[list[float]]:
    """Return the target load of every expert, by layer."""
    return [cost_prior(layer.costs).tolist() for layer in network.mixtures()]


class WarmStart(NamedTuple):
    """Names of the tensors that came from other weights, that are fresh, and that were left there."""

    taken: tuple[str, ...]
    fresh: tuple[str, ...]
    left: tuple[str, ...]


def build_learner(
    recipe: Recipe, fabric: Fabric, *, resumed: bool = False
) -> tuple[Learner, WarmStart | None]:
    """Build the network with weights from the recipe's seed, or from the weights it starts from.

    A resumed run reads no start weights: its checkpoint holds all.
    """
    network = build_network(recipe).train()
    start = None
    if recipe.init and not resumed:
        start = warm_start(network, load_weights(find_weights(recipe.init)).network)
    hardware = recipe.hardware
    network = network.to(fabric.device)
    if hardware.strategy != "fsdp":
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    copy = deepcopy(network)
    if recipe.recomputes():
        checkpoint_activations(network)
    model = fabric.setup_module(compiled(network) if hardware.compile else network)
    if hardware.strategy == "fsdp":
        copy = shard(copy, fabric.strategy.device_mesh)  # type: ignore[attr-defined]
    plain = make_optimizer(network, recipe.optimizer, fused=hardware.precision != "16-mixed")
    optimizer = fabric.setup_optimizers(plain)
    average = WeightAverage(network, copy=copy)
    discriminator = build_discriminator(recipe, fabric)
    return Learner(network, model, average, optimizer, fabric.strategy.precision, discriminator), start  # type: ignore[arg-type]


def build_network(recipe: Recipe) -> Network:
    """Build the recipe's network, ours or a peer, with weights from its seed. Raises ExternalError."""
    config, peer = recipe.config(), recipe.peer
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        if peer is None:
            return HFMoE(config)
        network = build_external(peer.network, peer.arguments)
    return ExternalNetwork(network, config, multiple=peer.multiple, channels_last=peer.channels_last)


def build_discriminator(recipe: Recipe, fabric: Fabric) -> DiscriminatorLearner | None:
    """Build the discriminator with weights from the recipe's seed, if any loss is adversarial."""
    if not recipe.is_adversarial():
        return None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = UNetDiscriminator(recipe.config().channels, width=recipe.discriminator.width)
    network = network.to(device=fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    fused = recipe.hardware.precision != "16-mixed"
    optimizer = make_optimizer(network, recipe.discriminator.optimizer, fused=fused)
    return DiscriminatorLearner(network, fabric.setup_optimizers(optimizer), fabric)  # type: ignore[arg-type]


def warm_start(network: nn.Module, source: nn.Module) -> WarmStart:
    """Copy every tensor whose name and shape are the same, such as all but the head of another scale."""
    given = source.state_dict()
    own = network.state_dict()
    taken = {name: given[name] for name in own if name in given and given[name].shape == own[name].shape}
    network.load_state_dict(taken, strict=False)
    fresh, left = ((name for name in names if name not in taken) for names in (own, given))
    return WarmStart(tuple(taken), tuple(fresh), tuple(left))
