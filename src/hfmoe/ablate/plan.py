"""Plan of a study: every variant's recipe with every seed, and the folder of each run."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hfmoe.ablate.study import Study, StudyError
from hfmoe.models.external import ExternalError, find_class
from hfmoe.models.presets import ABLATIONS
from hfmoe.train import Recipe, RecipeError, make_recipe

PARTS = 100_000
"""Parts that the schedule of a run is cut into whose budget is processor time."""
OWN = {"ablation", "about", "arguments", "multiple", "channels_last"}
"""Fields of a variant that are none of a recipe."""
SHARED = {
    "name",
    "run",
    "seed",
    "steps",
    "processor_seconds",
    "time_limit_minutes",
    "train",
    "validation.folder",
}
"""Recipe fields that are the study's to set, the same for all."""


@dataclass(frozen=True)
class Run:
    """One training: a variant with a seed."""

    variant: str
    recipe: Recipe

    @property
    def folder(self) -> Path:
        """The folder that it writes to."""
        return self.recipe.run

    @property
    def label(self) -> str:
        """The run in a few words."""
        return f"{self.variant}, seed {self.recipe.seed}"

    def settings(self) -> dict[str, Any]:
        """Return all that the run depends on as plain values: what its preset stands for too."""
        return {"recipe": self.recipe.as_data(), "config": config_of(self.recipe)}


def config_of(recipe: Recipe) -> dict[str, Any]:
    """Return the network of a recipe as plain values; one that is not ours has scale and channels alone."""
    config = asdict(recipe.config())
    return config if recipe.peer is None else {name: config[name] for name in ("scale", "channels")}


def plan(study: Study) -> tuple[Run, ...]:
    """Return the runs, all variants of a seed before the next seed, so that an early table compares all.

    Raises StudyError naming the variant and the field, before anything is loaded.
    """
    recipes = {name: variant_recipe(study, name) for name in study.variants}
    _check_comparable(recipes)
    return tuple(
        Run(name, recipe.model_copy(update={"seed": seed, "run": study.folder / name / f"seed-{seed}"}))
        for seed in study.seeds
        for name, recipe in recipes.items()
    )


def variant_recipe(study: Study, name: str) -> Recipe:
    """Return the recipe of a variant with the study's first seed. Raises StudyError."""
    try:
        recipe = _changed(study, name, (study.fields, *variant_changes(study, name)))
        for ablation in ablations_of(study, name):
            _check_effect(study, name, recipe, ablation)
        return recipe
    except (RecipeError, StudyError, ExternalError) as error:
        raise StudyError(f"{_where_from(study, name, str(error))}: {error}") from error


def _changed(study: Study, name: str, changes: Sequence[Mapping[str, Any]]) -> Recipe:
    data: dict[str, Any] = dict(study.recipe)
    for each in changes:
        _check_shared(each)
        data = merged(data, each)
    if data.get("peer"):
        network = data.get("network") or {}
        data["network"] = {field: network[field] for field in ("scale", "channels") if field in network}
    recipe = make_recipe(merged(data, _shared(study, name)))
    if recipe.peer is not None:
        find_class(recipe.peer.network)
    return recipe


def _where_from(study: Study, name: str, error: str) -> str:
    """Name the part of the study that is wrong: a variant is not to blame for what is so without it."""
    for part, changes in (("recipe", ()), ("fields", (study.fields,))):
        try:
            _changed(study, name, changes)
        except (RecipeError, StudyError, ExternalError) as other:
            if str(other) == error:
                return part
    return f"variant {name}"


def variant_changes(study: Study, name: str, *, without: str = "") -> list[dict[str, Any]]:
    """Return the recipe fields that a variant changes: those of its ablations first, then its own.

    without: an ablation that is left out.
    """
    change = study.variants[name]
    change = {} if isinstance(change, str) else change
    named = ablations_of(study, name)
    changes = [{"network": ablated(each)} for each in named if each != without]
    own = {field: value for field, value in change.items() if field not in OWN}
    peer = {field: change[field] for field in ("arguments", "multiple", "channels_last") if field in change}
    if isinstance(own.get("network"), str):
        idle = next((field for field in own if field.startswith("network.")), "ablation" if named else None)
        if idle:
            raise StudyError(f"{idle} has no effect on the network {own['network']}")
        own["peer"] = {"network": own.pop("network"), **peer}
    elif peer:
        raise StudyError(f"{next(iter(peer))} needs network: package.module:Class")
    return [*changes, own]


def ablations_of(study: Study, name: str) -> tuple[str, ...]:
    """Return the named ablations of a variant. Raises StudyError where they are no names."""
    change = study.variants[name]
    named = change if isinstance(change, str) else change.get("ablation", ())
    if not isinstance(named, str | list | tuple):
        raise StudyError(f"ablation {named!r} must be a name or a list of names")
    return (named,) if isinstance(named, str) else tuple(named)


def _check_effect(study: Study, name: str, recipe: Recipe, ablation: str) -> None:
    """Refuse a named ablation that leaves the configuration of the variant's network as it is."""
    try:
        without = _changed(study, name, (study.fields, *variant_changes(study, name, without=ablation)))
    except RecipeError:  # what the variant sets besides is only valid with it
        return
    if ABLATIONS[ablation] and config_of(without) == config_of(recipe):
        raise StudyError(f"ablation {ablation} changes nothing of this network")


def ablated(name: str) -> dict[str, Any]:
    """Return the fields of a named ablation. Raises StudyError with the nearest name."""
    if not isinstance(name, str) or name not in ABLATIONS:
        near = difflib.get_close_matches(str(name), ABLATIONS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(ABLATIONS)}"
        raise StudyError(f"ablation {name!r} is unknown; {hint}")
    fields = ABLATIONS[name].items()
    return {field: list(value) if isinstance(value, tuple) else value for field, value in fields}


def merged(data: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested fields with changes in place: mappings are merged, everything else is replaced.

    A dotted name is a field inside; a number in it is a place in a list.
    """
    result = {name: dict(value) if isinstance(value, Mapping) else value for name, value in data.items()}
    for name, value in changes.items():
        head, _, rest = str(name).partition(".")
        inner = result.get(head)
        if rest:
            result[head] = _inside(inner, {rest: value}, str(name))
        elif isinstance(value, Mapping) and isinstance(inner, Mapping):
            result[head] = merged(inner, value)
        else:
            result[head] = merged({}, value) if isinstance(value, Mapping) else value
    return result


def _inside(inner: Any, change: Mapping[str, Any], name: str) -> Any:
    if isinstance(inner, list):
        places = {str(place): value for place, value in enumerate(inner)}
        if next(iter(change)).partition(".")[0] not in places:
            raise StudyError(f"field {name}: there are {len(inner)} items, counted from 0")
        return list(merged(places, change).values())
    if inner is not None and not isinstance(inner, Mapping):
        raise StudyError(f"field {name}: {inner!r} is a single value and has no fields")
    return merged(inner or {}, change)


def _shared(study: Study, name: str) -> dict[str, Any]:
    budget = study.budget
    shared: dict[str, Any] = {
        "name": f"{study.name}-{name}",
        "run": str(study.folder / name / f"seed-{study.seeds[0]}"),
        "seed": study.seeds[0],
        "steps": budget.steps or PARTS,
        "processor_seconds": budget.processor_seconds,
        "time_limit_minutes": None,
    }
    if study.train:
        shared["train"] = study.model_dump(mode="json")["train"]
    if study.validation is not None:
        shared["validation.folder"] = study.model_dump(mode="json")["validation"]
    return shared


def _check_shared(fields: Mapping[str, Any], inside: str = "") -> None:
    for name, value in fields.items():
        if f"{inside}{name}" in SHARED:
            raise StudyError(f"field {inside}{name} is the same for all variants: set it in the study")
        if isinstance(value, Mapping) and not inside:
            _check_shared(value, f"{name}.")


def _check_comparable(recipes: Mapping[str, Recipe]) -> None:
    """Refuse variants that do not restore the same, and runs of several processes."""
    facts = {
        name: {"scale": recipe.config().scale, "channels": recipe.config().channels, "task": recipe.task()}
        for name, recipe in recipes.items()
    }
    first, ours = next(iter(facts.items()))
    for name, theirs in facts.items():
        for what, value in theirs.items():
            if value != ours[what]:
                raise StudyError(f"variant {name}: {what} {value} must be {ours[what]}, as that of {first}")
    for name, recipe in recipes.items():
        if (processes := recipe.hardware.devices * recipe.hardware.nodes) > 1:
            raise StudyError(
                f"variant {name}: hardware.devices x nodes = {processes} must be 1: a run is one process, "
                "and a study does many of them"
            )
