"""Recipes from YAML files with overrides, and errors that name the field, the value and the rule."""

import dataclasses
import difflib
import typing
from collections.abc import Iterator, Mapping
from itertools import pairwise
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
    data = read_fields(path, kind="recipe")
    try:
        return make_recipe(apply(data, overrides or {}))
    except RecipeError as error:
        raise RecipeError(f"recipe {path}: {error}") from error


def read_fields(path: Path | str, *, kind: str) -> dict[str, Any]:
    """Read a YAML file of fields, a recipe or a file of another kind. Raises RecipeError naming it."""
    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"cannot read {kind} {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{kind} {path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise RecipeError(f"{kind} {path} must be a mapping of fields to values, not {type(data).__name__}")
    return data


def make_recipe(data: Mapping[str, Any]) -> Recipe:
    """Check plain values against the fields of a recipe. Raises RecipeError naming each wrong one."""
    network = data.get("network") or {}
    unknown = set(network) - _config_fields() if isinstance(network, Mapping) else set()
    problems = [
        _unknown(("network", name), sorted(_config_fields()), Recipe) for name in sorted(unknown, key=str)
    ]
    try:
        recipe = Recipe.model_validate({**data, "network": {}} if unknown else data)
    except ValidationError as error:
        problems += problems_of(error, Recipe)
    except (TypeError, ValueError) as error:
        problems.append(str(error))
    else:
        if not problems:
            return recipe
    raise RecipeError("; ".join(problems))


def apply(data: Mapping[str, Any], overrides: Mapping[str, str]) -> dict[str, Any]:
    """Return a copy of the data with dotted fields replaced by YAML values: {"loss.0.weight": "0.5"}."""
    result = _copied(data)
    for field, text in overrides.items():
        *parents, last = field.split(".")
        place = result
        for name, inner in pairwise((*parents, last)):
            if inner.isdigit() and isinstance(place, dict) and place.get(name) is None:
                raise RecipeError(f"field {field}: the recipe lists no {name}; give the whole list: --{name}")
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


def problems_of(error: ValidationError, section: type[BaseModel]) -> list[str]:
    """Put what is wrong with the values of a section into words: field, value, rule, the nearest name."""
    return [_problem(detail, section) for detail in error.errors() if not _follows(detail)]


def _follows(detail: Any) -> bool:
    """Return whether an error only says that a list is empty once its wrong items are left out."""
    return detail["type"] == "too_short" and bool(detail["input"])


def _problem(detail: Any, section: type[BaseModel]) -> str:
    place, _ = _followed(detail["loc"], section)
    kind, given = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        return _unknown(place, _names(_followed(detail["loc"][:-1], section)[1]), section)
    if kind == "union_tag_invalid":
        return _unknown_kind(
            place, given["kind"], detail["ctx"]["expected_tags"].replace("'", "").split(", ")
        )
    if kind in ("missing", "union_tag_not_found"):
        return f"field {_dotted(place if kind == 'missing' else (*place, 'kind'))} is missing"
    message = detail["msg"].removeprefix("Value error, ")
    if not place:
        return message
    if kind == "value_error" and isinstance(given, Mapping):
        return f"field {_dotted(place)}: {message}"
    return f"field {_dotted(place)}: {given!r} is wrong: {message[:1].lower()}{message[1:]}"


def _unknown_kind(place: tuple[Any, ...], given: Any, known: list[str]) -> str:
    near = difflib.get_close_matches(str(given), known, n=1, cutoff=0.6)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"field {_dotted(place)}.kind: {given!r} must be one of {', '.join(known)}{hint}"


def _unknown(place: tuple[Any, ...], names: list[str], section: type[BaseModel]) -> str:
    wrong = str(place[-1])
    near = difflib.get_close_matches(wrong, names, n=1, cutoff=0.6)
    in_a_list = any(isinstance(part, int) for part in place)
    nearest = _dotted((*place[:-1], near[0])) if near else (None if in_a_list else _elsewhere(wrong, section))
    hint = f"did you mean {nearest}?" if nearest else f"known here: {', '.join(names)}"
    return f"unknown field {_dotted(place)}; {hint}"


def _elsewhere(wrong: str, section: type[BaseModel]) -> str | None:
    """Find the dotted name whose last part is nearest to a name that is unknown where it stands."""
    known = {name.rpartition(".")[2]: name for name in _all_names(section)}
    near = difflib.get_close_matches(wrong, known, n=1, cutoff=0.75)
    return known[near[0]] if near else None


def _all_names(section: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in section.model_fields.items():
        yield prefix + name
        for inner in _models_in(field.annotation):
            yield from _all_names(inner, f"{prefix}{name}.")


def _names(sections: list[type[BaseModel]]) -> list[str]:
    return list(dict.fromkeys(name for section in sections for name in section.model_fields))


def _followed(
    place: tuple[Any, ...], section: type[BaseModel]
) -> tuple[tuple[Any, ...], list[type[BaseModel]]]:
    """Follow an error's path: the path as a user writes it, and the sections that may stand at its end.

    Between a list and the fields of one of its items, pydantic names the item's kind, which no user does.
    """
    sections: list[type[BaseModel]] = [section]
    written = []
    for part in place:
        of_kind = [section for section in sections if part in _kinds(section)]
        if of_kind:
            sections = of_kind
            continue
        written.append(part)
        if not isinstance(part, int):
            fields = [section.model_fields[part] for section in sections if part in section.model_fields]
            sections = [inner for field in fields for inner in _models_in(field.annotation)]
    return tuple(written), sections


def _kinds(section: type[BaseModel]) -> tuple[Any, ...]:
    field = section.model_fields.get("kind")
    return typing.get_args(field.annotation) if field else ()


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in _models_in(part)]


def _dotted(place: tuple[Any, ...]) -> str:
    return ".".join(map(str, place))


def _config_fields() -> set[str]:
    return {field.name for field in dataclasses.fields(HFMoEConfig)}
