"""The work of `hfmoe train`."""

import faulthandler
import sys
from collections.abc import Sequence
from pathlib import Path

from hfmoe.cli.errors import Diverged, Stopped, UsageError


def run_recipe(recipe: Path, fields: Sequence[str], *, resume: bool, change: bool) -> None:
    """Train by a recipe file with some of its fields given anew.

    Raises Stopped when a signal ended the run, Diverged when too much was not finite.
    """
    if change and not resume:
        raise UsageError("--change needs --resume: a new run has nothing to change")
    overrides = parse_fields(fields)
    import_from_here()
    from hfmoe.train import NonFiniteError, TrainingInterrupted, load_recipe, train

    if sys.__stderr__ is not None and not faulthandler.is_enabled():
        faulthandler.enable(sys.__stderr__)
    try:
        train(load_recipe(recipe, overrides), resume=resume, change=change)
    except TrainingInterrupted as error:
        raise Stopped(str(error), signal=error.signal) from error
    except NonFiniteError as error:
        raise Diverged(str(error)) from error


def import_from_here() -> None:
    """Let networks that are not ours be imported from the working directory, as `python -m` does."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)


def show_samples(recipe: Path, fields: Sequence[str], *, output: Path, step: int, count: int) -> None:
    """Write degraded samples of a recipe's step and print what was done to each."""
    overrides = parse_fields(fields)
    from hfmoe.train import load_recipe
    from hfmoe.train.sample_grids import write_samples

    for line in write_samples(load_recipe(recipe, overrides), step=step, count=count, output=output):
        sys.stdout.write(line + "\n")


def parse_fields(fields: Sequence[str]) -> dict[str, str]:
    """Values by field of `--field value` and `--field=value`; raises UsageError for anything else."""
    overrides: dict[str, str] = {}
    rest = iter(fields)
    for token in rest:
        name, equals, value = token.partition("=")
        if not name.startswith("--") or len(name) < 3:
            raise UsageError(f"{token!r} must be a --field of the recipe with its value")
        field = name[2:].replace("-", "_")
        if field in overrides:
            raise UsageError(f"{name} is given twice")
        found = value if equals else next(rest, None)
        if found is None or (not equals and found.startswith("--")):
            raise UsageError(f"{name} needs a value")
        overrides[field] = found
    return overrides
