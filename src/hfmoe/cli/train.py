"""`hfmoe train` and `hfmoe samples`: a run by a recipe, and what its network learns from."""

import faulthandler
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from hfmoe.cli.errors import Diverged, Stopped, UsageError
from hfmoe.train import NonFiniteError, TrainingInterrupted, load_recipe
from hfmoe.train import train as run_training

Fields = Annotated[str, Parameter(allow_leading_hyphen=True, show=False)]
"""Fields of a file given anew, as `--field value` or `--field=value`."""


def train(recipe: Path, /, *fields: Fields, resume: bool = False, change: bool = False) -> None:
    """Train a network by a recipe.

    Any field of the recipe can be given anew: --steps 500 --optimizer.lr 5e-4 --loss.0.weight=0.5.

    Parameters
    ----------
    recipe
        YAML file; see the folder recipes.
    resume
        Go on from the last checkpoint of the run.
    change
        With --resume: take over fields of the recipe, or photos, that differ from before, and record them.
    """
    if change and not resume:
        raise UsageError("--change needs --resume: a new run has nothing to change")
    overrides = parse_fields(fields)
    import_from_here()
    if sys.__stderr__ is not None and not faulthandler.is_enabled():
        faulthandler.enable(sys.__stderr__)
    try:
        run_training(load_recipe(recipe, overrides), resume=resume, change=change)
    except TrainingInterrupted as error:
        raise Stopped(str(error), signal=error.signal) from error
    except NonFiniteError as error:
        raise Diverged(str(error)) from error


def samples(recipe: Path, /, *fields: Fields, output: Path, step: int = 0, count: int = 8) -> None:
    """Show what a recipe's network learns from: degraded samples of one step, with what was done to each.

    Writes for each sample its clean source, degraded and target side, a sheet of all of them, and
    samples.json, whose operations turn the source into the degraded side again.

    Parameters
    ----------
    recipe
        YAML file; fields of it can be given anew, as for training.
    output
        Folder to write to; made where it is missing.
    step
        Step of the run, from 0.
    count
        How many samples.
    """
    from hfmoe.train.sample_grids import write_samples

    found = load_recipe(recipe, parse_fields(fields))
    for line in write_samples(found, step=step, count=count, output=output):
        sys.stdout.write(line + "\n")


def import_from_here() -> None:
    """Let networks that are not ours be imported from the working directory, as `python -m` does."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)


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
