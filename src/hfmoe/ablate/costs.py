"""What the variants of a study cost, measured in turn in one fresh process."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from hfmoe.ablate.scoring import weighted
from hfmoe.ablate.study import Timing
from hfmoe.bench.picture import pink_image
from hfmoe.bench.timing import CLOCKS, Rounds, Spread, interleave, ratio, spread
from hfmoe.bench.worker import expert_costs
from hfmoe.models.cost import count_parameters, count_work, flops_of_addmm, multiply_adds
from hfmoe.models.folding import fold
from hfmoe.models.header import ModelFacts, WeightsError
from hfmoe.models.peer import Network, PeerNetwork
from hfmoe.models.weights import Loaded
from hfmoe.runtime.memory import reuse_memory
from hfmoe.train import Recipe, make_recipe


@dataclass(frozen=True)
class Cost:
    """What a network costs for one square input.

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
        """Give the cost that `asdict` made plain."""
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
    child = subprocess.run(
        [sys.executable, "-m", __name__],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": str(timing.threads)},
    )
    if child.returncode:
        reason = (child.stderr.strip().splitlines() or [f"status {child.returncode}"])[-1]
        raise RuntimeError(f"measuring costs failed: {reason}")
    try:
        found = json.loads(child.stdout)
    except ValueError as error:
        raise RuntimeError(f"measuring costs failed: {error} in {child.stdout[:80]!r}") from error
    return {name: Cost.of(values) for name, values in found.items()}


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
        found = interleave(runs, rounds=timing.rounds, budget=timing.seconds, clock=CLOCKS[timing.clock])
    return {
        name: costed(networks[name], images[name], ready[name], found[name], found[base]) for name in networks
    }


def opened(recipe: Recipe) -> Network:
    """Give the network as its run left it; untrained where it has not ended."""
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


def costed(network: Network, image: Tensor, ready: Network, seconds: Rounds, base: Rounds) -> Cost:
    """Put counts and times of a network together."""
    milliseconds = Spread(*(1e3 * value for value in spread(seconds.runs())))
    over = ratio(seconds, base) or Spread(float("nan"), float("nan"), float("nan"))
    if isinstance(network, PeerNetwork):
        parameters = sum(weight.numel() for weight in network.parameters())
        work = counted(ready, image)
        return Cost(parameters, parameters, work, work, milliseconds, over)
    config, side = network.config, image.shape[-1]
    found = count_parameters(config)
    loaded = Loaded(network, config, ModelFacts(name="measured"))
    with torch.no_grad():
        shares = expert_costs(loaded, image, 0.5)
    active = count_work(config, side, side).at(shares)
    most = multiply_adds(config, side, side).dense
    return Cost(found.total, found.active, most, active, milliseconds, over)


def counted(network: Network, image: Tensor) -> int:
    """Count the multiply-adds of convolutions, matrix products and attention in one pass."""
    counter = FlopCounterMode(display=False, custom_mapping={torch.ops.aten.addmm_: flops_of_addmm})
    with counter, torch.no_grad():
        network(image)
    return counter.get_total_flops() // 2


def main() -> None:
    """Do the job on stdin."""
    reuse_memory()
    job = json.load(sys.stdin)
    timing = Timing.model_validate(job["timing"])
    torch.set_num_threads(timing.threads)
    recipes = {name: make_recipe(data) for name, data in job["recipes"].items()}
    with redirect_stdout(sys.stderr):  # networks that are not ours may print
        found = measure_here(recipes, timing, base=job["base"])
    sys.stdout.write(json.dumps({name: asdict(cost) for name, cost in found.items()}))


if __name__ == "__main__":
    main()
