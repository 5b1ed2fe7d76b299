"""Costs of the variants of a study: measured in turn in one fresh process, and cached in its folder."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from hfmoe.ablate.plan import config_of
from hfmoe.ablate.study import Study, Timing
from hfmoe.ablate.worker import network_of, prepared
from hfmoe.bench.inputs import pink_image
from hfmoe.bench.timing import CLOCKS, Rounds, Spread, interleave, ratio, spread
from hfmoe.bench.worker import expert_costs
from hfmoe.models.cost import count_parameters, count_work, flops_of_addmm, multiply_adds
from hfmoe.models.external import ExternalNetwork, Network
from hfmoe.models.header import ModelFacts, WeightsError
from hfmoe.models.weights import Loaded
from hfmoe.runtime.child import ChildError, run_in_child
from hfmoe.runtime.files import read_json, write_json
from hfmoe.runtime.machine import Machine, machine
from hfmoe.runtime.memory import reuse_memory
from hfmoe.train import Recipe, make_recipe

FILE = "costs.json"


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


@dataclass(frozen=True)
class MeasuredCost:
    """Cost of a variant, and the machine at the time of the measurement."""

    cost: Cost
    where: Machine


def cached_costs(
    study: Study, recipes: Mapping[str, Recipe], *, renew: bool = False
) -> dict[str, MeasuredCost]:
    """Return what the variants cost, as measured before where network, weights, base and timing are the same.

    The others are measured, in turn with the base, and so are all with `renew`. Raises RuntimeError when
    that fails; `known_costs` returns what is there all the same.
    """
    path, base = study.folder / FILE, study.reference
    known = {} if renew else known_costs(study, recipes)
    due = [name for name in recipes if name not in known]
    if due:
        where = machine(threads=study.latency.threads)
        together = {name: recipe for name, recipe in recipes.items() if name == base or name in due}
        costs = measure(together, study.latency, base=base)
        cache = read_json(path) or {}
        for name in due:
            of = _subject(study, recipes, name)
            cache[name] = {"of": of, "cost": asdict(costs[name]), "machine": where.to_dict()}
        study.folder.mkdir(parents=True, exist_ok=True)
        write_json(path, cache)
    return known_costs(study, recipes)


def known_costs(study: Study, recipes: Mapping[str, Recipe]) -> dict[str, MeasuredCost]:
    """Return the costs that were measured before of the variants as they are now.

    Entries of something else, or of another version's form, are left out.
    """
    cache, known = read_json(study.folder / FILE) or {}, dict[str, MeasuredCost]()
    for name in recipes:
        try:
            entry = cache[name]
            if entry["of"] == _subject(study, recipes, name):
                known[name] = MeasuredCost(Cost.of(entry["cost"]), Machine(**entry["machine"]))
        except (KeyError, TypeError):
            continue
    return known


def measured_where(costs: Mapping[str, MeasuredCost]) -> list[str]:
    """Return in a sentence for each measurement when and where it took place."""
    groups: dict[str, list[str]] = {}
    for name, measured in costs.items():
        groups.setdefault(measured.where.line(), []).append(name)
    if len(groups) == 1:
        return [f"Costs measured on {line}." for line in groups]
    return [f"Costs of {', '.join(names)} measured on {line}." for line, names in groups.items()]


def _subject(study: Study, recipes: Mapping[str, Recipe], name: str) -> dict[str, Any]:
    """Return all that a measurement depends on but machine and versions, which it tells, as plain values."""
    subject = {
        "network": _network(recipes[name]),
        "base": _network(recipes[study.reference]),
        "timing": study.latency.model_dump(mode="json"),
    }
    return json.loads(json.dumps(subject))


def _network(recipe: Recipe) -> dict[str, Any]:
    """Return what tells a network from others: weights count too, as they route."""
    weights = recipe.run / "last.safetensors"
    return {
        "config": config_of(recipe),
        "peer": recipe.peer and recipe.peer.model_dump(mode="json"),
        "weights": sha256(weights.read_bytes()).hexdigest() if weights.is_file() else None,
    }


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
        costs = run_in_child(measure_here, job, threads=timing.threads)
    except ChildError as error:
        raise RuntimeError(f"measuring costs failed: {error}") from error
    return {name: Cost.of(values) for name, values in costs.items()}


def measure_here(job: dict[str, Any]) -> dict[str, Any]:
    """Measure in this process, plain values in and out: folded networks, eager, channels-last, one image."""
    reuse_memory()
    timing = Timing.model_validate(job["timing"])
    torch.set_num_threads(timing.threads)
    networks = {name: _opened(make_recipe(data)) for name, data in job["recipes"].items()}
    images = {
        name: pink_image(timing.size, timing.size, channels=network.config.channels)
        for name, network in networks.items()
    }
    ready = {name: prepared(network) for name, network in networks.items()}
    runs = {name: (lambda name=name: ready[name](images[name])) for name in ready}
    with torch.inference_mode():
        rounds = interleave(runs, rounds=timing.rounds, budget=timing.seconds, clock=CLOCKS[timing.clock])
    return {
        name: asdict(_cost(network, images[name], ready[name], rounds[name], rounds[job["base"]]))
        for name, network in networks.items()
    }


def _opened(recipe: Recipe) -> Network:
    """Return the network as its run left it; untrained where it has not ended."""
    try:
        return network_of(recipe)
    except WeightsError:
        return network_of(recipe, untrained=True)


def _cost(network: Network, image: Tensor, ready: Network, seconds: Rounds, base: Rounds) -> Cost:
    """Return counts and times of a network; those of one that is not ours are counted in a pass."""
    milliseconds = Spread(*(1e3 * value for value in spread(seconds.runs())))
    over = ratio(seconds, base) or Spread(float("nan"), float("nan"), float("nan"))
    if isinstance(network, ExternalNetwork):
        weights = sum(weight.numel() for weight in network.parameters())
        counter = FlopCounterMode(display=False, custom_mapping={torch.ops.aten.addmm_: flops_of_addmm})
        with counter, torch.no_grad():
            ready(image)
        work = counter.get_total_flops() // 2
        return Cost(weights, weights, work, work, milliseconds, over)
    config, side = network.config, image.shape[-1]
    parameters = count_parameters(config)
    with torch.no_grad():
        shares = expert_costs(Loaded(network, config, ModelFacts(name="measured")), image, 0.5)
    active = count_work(config, side, side).at(shares)
    most = multiply_adds(config, side, side).dense
    return Cost(parameters.total, parameters.active, most, active, milliseconds, over)
