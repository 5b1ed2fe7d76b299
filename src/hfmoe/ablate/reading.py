"""Studies from YAML files with overrides, and errors that name the field, the value and the rule."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from hfmoe.ablate.study import Study
from hfmoe.train.loading import RecipeError, apply, problems_of, read_fields


class StudyError(ValueError):
    """A study that cannot be read, or that says something it must not say."""


def load_study(
    path: Path, overrides: Mapping[str, str] | None = None, *, peers: Mapping[str, Any] | None = None
) -> Study:
    """Read a study and put overrides such as {"budget.steps": "100"} in place; `peers` are further variants.

    A recipe that it names is read as well, so that the study holds all fields. Raises StudyError that names
    the file and every wrong field.
    """
    try:
        data = apply(read_fields(path, kind="study"), overrides or {})
        if peers and isinstance(data.get("variants"), Mapping):
            doubled = [name for name in peers if name in data["variants"]]
            if doubled:
                raise StudyError(f"there is a variant {doubled[0]} already: --network cannot add another")
            data["variants"] = {**data["variants"], **peers}
        study = make_study(data)
        if isinstance(study.recipe, str):
            recipe = read_fields(path.parent / study.recipe, kind="recipe")
            study = study.model_copy(update={"recipe": recipe})
    except (RecipeError, StudyError) as error:
        named = str(path) in str(error)
        raise StudyError(str(error) if named else f"study {path}: {error}") from error
    return study


def make_study(data: Mapping[str, Any]) -> Study:
    """Check plain values against the fields of a study. Raises StudyError naming each wrong one."""
    try:
        return Study.model_validate(data)
    except ValidationError as error:
        raise StudyError("; ".join(problems_of(error, Study))) from error


def peer_variants(networks: Sequence[str], arguments: Sequence[str]) -> dict[str, Any]:
    """Make variants of networks named on a command line, called by their classes.

    `arguments` are YAML mappings, none or one for each network. Raises StudyError.
    """
    if arguments and len(arguments) != len(networks):
        raise StudyError(
            f"{len(arguments)} arguments for {len(networks)} networks: give one for each, or none"
        )
    found: dict[str, Any] = {}
    for place, network in enumerate(networks):
        values = _mapping(arguments[place]) if arguments else {}
        name = network.rpartition(":")[2]
        while name in found:
            name += "-again"
        found[name] = {"network": network, "arguments": values}
    return found


def _mapping(text: str) -> dict[str, Any]:
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise StudyError(f"arguments {text!r} are not YAML") from error
    if not isinstance(values, dict):
        raise StudyError(f"arguments {text!r} must be a mapping such as '{{dim: 32}}'")
    return values
