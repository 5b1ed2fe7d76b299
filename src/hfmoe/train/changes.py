"""What differs between the recipe of a run and the one that it goes on with, field by field."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError

from hfmoe.train.recipe import Recipe

FREE = frozenset({"run", "cache", "log", "faults", "notes", "checkpoint_minutes", "time_limit_minutes"})
"""Recipe fields that do not touch the weights and may differ silently when a run goes on."""

FIXED = frozenset({"preset", "network", "peer"})
"""Recipe fields that never change in a run: they say which tensors there are."""

SCORING = frozenset({"validation.folder", "validation.images", "validation.crop", "tasks"})
"""Recipe fields that a validation score depends on: scores before and after cannot be compared."""


class Change(NamedTuple):
    """A field of the recipe (or "photos", the identity of the photos) that differs from a step on."""

    step: int
    field: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.field} ({self.before!r} before, {self.after!r} now)"


def changes_between(before: Mapping[str, Any], recipe: Recipe, *, step: int) -> tuple[Change, ...]:
    """List the fields in which a run's recipe and the present one differ, those apart that are free.

    Fields that the older one lacks count as having had their defaults. Preset and network do not differ where
    they are other words for the same network.
    """
    after = recipe.resolved().as_data()
    try:
        earlier = Recipe.model_validate(before).resolved()
        before = earlier.as_data()
        if earlier.config() == recipe.config():
            before |= {name: after[name] for name in ("preset", "network")}
    except (ValidationError, TypeError):
        before = dict(before)
        if before.get("preset") == after["preset"]:
            before["network"] = {**after["network"], **(before.get("network") or {})}
    sides = ({name: side[name] for name in side if name not in FREE} for side in (before, after))
    return tuple(Change(step, *difference) for difference in differences(*sides))


def differences(
    before: Mapping[str, Any], after: Mapping[str, Any], *, inside: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Name the values that differ in nested mappings by dotted paths, with both values."""
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from differences(old, new, inside=f"{inside}{name}.")
        elif old != new:
            yield f"{inside}{name}", old, new


def touches(field: str, names: Iterable[str]) -> bool:
    """Tell whether a dotted field is one of those names or lies inside one."""
    return any(field == name or field.startswith(f"{name}.") for name in names)


def listed(changes: Iterable[Change]) -> str:
    """Put changes into words."""
    return ", ".join(map(str, changes))
