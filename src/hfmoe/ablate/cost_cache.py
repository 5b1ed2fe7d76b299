"""Cache of measured costs in the study's folder: what they are of, and when and where measured."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

from hfmoe.ablate.costs import Cost, measure
from hfmoe.ablate.plan import config_of
from hfmoe.ablate.study import Study
from hfmoe.runtime.files import read_json, write_json
from hfmoe.runtime.machine import Machine, machine
from hfmoe.train import Recipe

FILE = "costs.json"


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
    that fails; `known_costs` gives what is there all the same.
    """
    path, base = study.folder / FILE, study.reference
    cache = read_json(path) or {}
    of = {name: _subject(study, recipes, name) for name in recipes}
    due = [name for name in recipes if renew or _measured(cache.get(name), of[name]) is None]
    if due:
        where = machine(threads=study.latency.threads)
        together = {name: recipe for name, recipe in recipes.items() if name == base or name in due}
        costs = measure(together, study.latency, base=base)
        cache |= {
            name: {"of": of[name], "cost": asdict(costs[name]), "machine": where.to_dict()} for name in due
        }
        study.folder.mkdir(parents=True, exist_ok=True)
        write_json(path, cache)
    return known_costs(study, recipes)


def known_costs(study: Study, recipes: Mapping[str, Recipe]) -> dict[str, MeasuredCost]:
    """Return the costs that were measured before of the variants as they are now."""
    cache = read_json(study.folder / FILE) or {}
    costs = {name: _measured(cache.get(name), _subject(study, recipes, name)) for name in recipes}
    return {name: cost for name, cost in costs.items() if cost is not None}


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


def _measured(entry: Any, of: dict[str, Any]) -> MeasuredCost | None:
    """Read an entry of the file; None where it is of something else or of another version's form."""
    try:
        if entry["of"] != of:
            return None
        return MeasuredCost(Cost.of(entry["cost"]), Machine(**entry["machine"]))
    except (KeyError, TypeError):
        return None
