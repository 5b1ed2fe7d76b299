"""Costs of the variants of a study, measured in turn in one fresh process."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from hfmoe.ablate.scoring import weighted
from hfmoe.ablate.study import Timing
from hfmoe.bench.inputs import pink_image
from hfmoe.bench.timing import CLOCKS, Rounds, Spread, interleave, ratio, spread
from hfmoe.bench.worker import expert_costs
from hfmoe.models.cost import count_parameters, count_work, flops_of_addmm, multiply_adds
from hfmoe.models.folding import fold
from hfmoe.models.header import ModelFacts, WeightsError
from hfmoe.models.peer import Network, PeerNetwork
from hfmoe.models.weights import Loaded
from hfmoe.runtime.child import ChildError, run_in_child
from hfmoe.runtime.memory import reuse_memory
from hfmoe.train import Recipe, make_recipe


@dataclass(frozen=True)
class Cost:
    """Cost of a network for one square input.

    parameters before folding; active: those that a window uses. multiply_adds: with the heaviest experts
    everywhere; multiply_adds_active: with those that the measured input was sent to. milliseconds: quartiles;
    ratio: to the base, by rounds.
    """

    parameters: int
    parameters_active: int
    multiply_adds: int
    multiply_adds_active: int
    milliseconds: Spread
    ratio: Spread

    @staticmethod
    def of(values: Mapping[str, Any]) -> "Cost":
        """Return the cost that `asdict` made plain."""
        return Cost(
            **{**values, "milliseconds": Spread(*values["milliseconds"]), "ratio": Spread(*values["ratio"])}
        )


def measure(recipes: Mapping[str, Recipe], timing: Timing, *, base: str) -> dict[str, Cost]:
    """Measure the networks of recipes by name, with the weights of their runs where there are any.

    Raises RuntimeError with the last line of what went wrong.
    """
    job = {
        "recipes": {name: recipe.as_data() for name, recipe in recipes.items()},
        "timing": timing.model_dump(mode="json"),
        "base": base,
    }
    try:
        costs = run_in_child(measure_job, job, threads=timing.threads)
    except ChildError as error:
        raise RuntimeError(f"measuring costs failed: {error}") from error
    return {name: Cost.of(values) for name, values in costs.items()}


def measure_job(job: dict[str, Any]) -> dict[str, Any]:
    """Do the job of plain values in this process."""
    reuse_memory()
    timing = Timing.model_validate(job["timing"])
    torch.set_num_threads(timing.threads)
    recipes = {name: make_recipe(data) for name, data in job["recipes"].items()}
    return {name: asdict(cost) for name, cost in measure_here(recipes, timing, base=job["base"]).items()}


def measure_here(recipes: Mapping[str, Recipe], timing: Timing, *, base: str) -> dict[str, Cost]:
    """Measure in this process: the folded networks, eager, channels-last, one image."""
    networks = {name: opened(recipe) for name, recipe in recipes.items()}
    images = {
        name: pink_image(timing.size, timing.size, channels=network.config.channels)
        for name, network in networks.items()
    }
    ready = {name: prepared(network) for name, network in networks.items()}
    runs = {name: (lambda name=name: ready[name](images[name])) for name in ready}
    with torch.inference_mode():
        rounds = interleave(runs, rounds=timing.rounds, budget=timing.seconds, clock=CLOCKS[timing.clock])
    return {
        name: cost_of(networks[name], images[name], ready[name], rounds[name], rounds[base])
        for name in networks
    }


def opened(recipe: Recipe) -> Network:
    """Return the network as its run left it; untrained where it has not ended."""
    try:
        return weighted(recipe)
    except WeightsError:
        return weighted(recipe, untrained=True)


def prepared(network: Network) -> Network:
    """Fold a network for inference, in the memory format that it runs in."""
    folded = fold(network).requires_grad_(False)
    if isinstance(network, PeerNetwork) and not network.channels_last:
        return folded
    return folded.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def cost_of(network: Network, image: Tensor, ready: Network, seconds: Rounds, base: Rounds) -> Cost:
    """Put counts and times of a network together."""
    milliseconds = Spread(*(1e3 * value for value in spread(seconds.runs())))
    over = ratio(seconds, base) or Spread(float("nan"), float("nan"), float("nan"))
    if isinstance(network, PeerNetwork):
        weights = sum(weight.numel() for weight in network.parameters())
        work = counted(ready, image)
        return Cost(weights, weights, work, work, milliseconds, over)
    config, side = network.config, image.shape[-1]
    parameters = count_parameters(config)
    loaded = Loaded(network, config, ModelFacts(name="measured"))
    with torch.no_grad():
        shares = expert_costs(loaded, image, 0.5)
    active = count_work(config, side, side).at(shares)
    most = multiply_adds(config, side, side).dense
    return Cost(parameters.total, parameters.active, most, active, milliseconds, over)


def counted(network: Network, image: Tensor) -> int:
    """Count the multiply-adds of convolutions, matrix products and attention in one pass."""
    counter = FlopCounterMode(display=False, custom_mapping={torch.ops.aten.addmm_: flops_of_addmm})
    with counter, torch.no_grad():
        network(image)
    return counter.get_total_flops() // 2
