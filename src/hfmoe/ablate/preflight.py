"""Preflight of a study: everything that would stop a run later is looked for before anything trains."""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hfmoe.ablate.plan import Run, plan
from hfmoe.ablate.run_state import RunState, forget, state_of
from hfmoe.ablate.scoring import protocol_of
from hfmoe.ablate.study import Study, StudyError
from hfmoe.data.sources import find_sources
from hfmoe.evaluate.scores import load_distances
from hfmoe.train import Recipe
from hfmoe.train.learner import build_network
from hfmoe.train.validation import read_examples


def recipes_of(study: Study) -> dict[str, Recipe]:
    """Return each variant's recipe, checked and its network built once. Raises StudyError and PeerError."""
    recipes: dict[str, Recipe] = {}
    for run in plan(study):
        recipes.setdefault(run.variant, run.recipe)
    for name, recipe in recipes.items():
        try:
            build_network(recipe)
        except (ValueError, TypeError, RuntimeError) as error:
            raise StudyError(f"variant {name}: {error}") from error
    return recipes


def check_study(study: Study) -> tuple[Run, ...]:
    """Return the runs of a study that can be scored. Raises StudyError for one that scores nothing."""
    if not study.evaluate.sets:
        raise StudyError("evaluate.sets names no folder to score on: --evaluate.sets.NAME FOLDER")
    for name, place in study.evaluate.sets.items():
        if not place.is_dir():
            raise StudyError(f"evaluate.sets.{name}: {place} is no folder")
    recipes = recipes_of(study)
    try:
        protocol_of(next(iter(recipes.values())), study.evaluate)
    except ValueError as error:
        raise StudyError(str(error)) from error
    return plan(study)


def runs_left(study: Study, runs: Sequence[Run], *, anew: bool) -> list[Run]:
    """Return the runs that are not done; diverged ones have ended.

    With `anew`, runs that changed, diverged or failed lose what they have written. Raises StudyError for a
    run whose settings changed, naming it and them.
    """
    states = {run.label: state_of(run, study.evaluate) for run in runs}
    for run in runs:
        state = states[run.label]
        if anew and state.state in ("changed", "diverged", "failed"):
            forget(run)
            states[run.label] = RunState("new")
        elif state.state == "changed":
            raise StudyError(
                f"{run.folder} was begun with other settings: {', '.join(state.changes)}; "
                "--anew makes such runs anew, another --run keeps them"
            )
    return [run for run in runs if states[run.label].state not in ("done", "diverged")]


def check_photos(study: Study, recipe: Recipe) -> None:
    """Open once what every run would only miss when it begins, or when it has trained and is to be scored.

    Raises StudyError, naming the field, for a place without photos, an evaluation image that cannot be
    scored, and weights of a score that cannot be read.
    """
    protocol = protocol_of(recipe, study.evaluate)
    with _errors_of("train" if study.train else "recipe.train"):
        find_sources(recipe.train)
    with _errors_of("validation" if study.validation else "recipe.validation.folder"):
        read_examples(recipe)
    with _errors_of("evaluate.lpips or evaluate.dists"):
        load_distances(study.evaluate.lpips, study.evaluate.dists)
    for name, folder in study.evaluate.sets.items():
        with _errors_of(f"evaluate.sets.{name}"):
            deque(protocol.pairs(folder), maxlen=0)


@contextmanager
def _errors_of(field: str) -> Iterator[None]:
    """Put before what goes wrong the field of the study that it came from."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise StudyError(f"{field}: {error}") from error
