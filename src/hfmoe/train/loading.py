"""Recipes from YAML files with overrides, and errors that name the field, the value and the rule."""

import dataclasses
import difflib
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from hfmoe.models.config import HFMoEConfig
from hfmoe.train.recipe import Recipe


class RecipeError(ValueError):
    """A recipe that cannot be read, or that says something it must not say."""


def load_recipe(path: Path | str, overrides: Mapping[str, str] | None = None) -> Recipe:
    """Read a YAML recipe and put overrides such as {"optimizer.lr": "1e-3"} in place.

    Raises RecipeError that names the file and every wrong field, before anything else is loaded.
    """
    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"cannot read recipe {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"recipe {path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise RecipeError(f"recipe {path} must be a mapping of fields to values, not {type(data).__name__}")
    try:
        return make_recipe(apply(data, overrides or {}))
    except RecipeError as error:
        raise RecipeError(f"recipe {path}: {error}") from error


def make_recipe(data: Mapping[str, Any]) -> Recipe:
    """Check plain values against the fields of a recipe. Raises RecipeError naming each wrong one."""
    network = data.get("network") or {}
    unknown = set(network) - _config_fields() if isinstance(network, Mapping) else set()
    problems = [_unknown(("network", name), sorted(_config_fields())) for name in sorted(unknown, key=str)]
    try:
        recipe = Recipe.model_validate({**data, "network": {}} if unknown else data)
    except ValidationError as error:
        problems += [_problem(detail) for detail in error.errors()]
    except (TypeError, ValueError) as error:
        problems.append(str(error))
    else:
        if not problems:
            return recipe
    raise RecipeError("; ".join(problems))


def apply(data: Mapping[str, Any], overrides: Mapping[str, str]) -> dict[str, Any]:
    """Give a copy of the data with dotted fields replaced by YAML values: {"loss.0.weight": "0.5"}."""
    result = _copied(data)
    for field, text in overrides.items():
        *parents, last = field.split(".")
        place = result
        for name in parents:
            place = _inside(place, name, field)
        value = _parsed(field, text)
        if isinstance(place, list):
            place[_index(place, last, field)] = value
        else:
            place[last] = value
    return result


def _inside(place: Any, name: str, field: str) -> Any:
    inner = place[_index(place, name, field)] if isinstance(place, list) else place.setdefault(name, {})
    if inner is None and isinstance(place, dict):
        inner = place[name] = {}
    if not isinstance(inner, dict | list):
        raise RecipeError(f"field {field}: {name} is a single value ({inner!r}) and has no fields")
    return inner


def _index(place: list[Any], name: str, field: str) -> int:
    if not name.isdigit() or int(name) >= len(place):
        raise RecipeError(f"field {field}: {name!r} must be a position in [0, {len(place)})")
    return int(name)


def _parsed(field: str, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"field {field}: {text!r} is not a YAML value") from error


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _problem(detail: Any) -> str:
    place = tuple(part for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return _unknown(place, _names(_section(place[:-1])))
    if detail["type"] == "missing":
        return f"field {_dotted(place)} is missing"
    message = detail["msg"].removeprefix("Value error, ")
    if not place:
        return message
    return f"field {_dotted(place)}: {detail['input']!r} is wrong: {message[:1].lower()}{message[1:]}"


def _unknown(place: tuple[Any, ...], names: list[str]) -> str:
    wrong = str(place[-1])
    near = difflib.get_close_matches(wrong, names, n=1, cutoff=0.6)
    nearest = _dotted((*place[:-1], near[0])) if near else _elsewhere(wrong)
    hint = f"did you mean {nearest}?" if nearest else f"known here: {', '.join(names)}"
    return f"unknown field {_dotted(place)}; {hint}"


def _elsewhere(wrong: str) -> str | None:
    """Find the dotted name whose last part is nearest to a name that is unknown where it stands."""
    known = {name.rpartition(".")[2]: name for name in _all_names(Recipe)}
    near = difflib.get_close_matches(wrong, known, n=1, cutoff=0.75)
    return known[near[0]] if near else None


def _all_names(section: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name in _names(section):
        yield prefix + name
        inner = _section((name,), section)
        if inner is not section and inner is not None:
            yield from _all_names(inner, f"{prefix}{name}.")


def _names(section: type[BaseModel] | None) -> list[str]:
    return [] if section is None else list(section.model_fields)


def _section(place: tuple[Any, ...], section: type[BaseModel] = Recipe) -> type[BaseModel] | None:
    """Find the section that a path of field names and positions leads to."""
    found: type[BaseModel] | None = section
    for part in place:
        if isinstance(part, int) or found is None:
            continue
        field = found.model_fields.get(part)
        found = _model_in(field.annotation) if field else None
    return found


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, typing.get_args(annotation))), None)


def _dotted(place: tuple[Any, ...]) -> str:
    return ".".join(map(str, place))


def _config_fields() -> set[str]:
    return {field.name for field in dataclasses.fields(HFMoEConfig)}
