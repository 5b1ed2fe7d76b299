"""The work of a study: which runs are left, doing them, measuring, comparing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hfmoe.ablate.engine import Ended, Hear, run_locally
from hfmoe.ablate.kept import Measured, already_kept, kept_costs, measured_where
from hfmoe.ablate.material import check_material
from hfmoe.ablate.on_ray import run_on_ray
from hfmoe.ablate.plan import Run, plan
from hfmoe.ablate.reading import StudyError
from hfmoe.ablate.results import Results, gather
from hfmoe.ablate.scoring import protocol_of
from hfmoe.ablate.standing import Standing, forget, standing_of
from hfmoe.ablate.study import Study
from hfmoe.ablate.worker import locked
from hfmoe.train import Recipe
from hfmoe.train.learner import build_network


@dataclass(frozen=True)
class Engine:
    """Where runs take place: processes of this machine, or the tasks of a Ray cluster."""

    name: str = "local"
    workers: int | None = None
    address: str | None = None

    def run(self, runs: Sequence[Run], study: Study, hear: Hear) -> list[Ended]:
        """Do runs. Raises StudyInterrupted."""
        if self.name == "ray":
            return run_on_ray(runs, study.evaluate, workers=self.workers, address=self.address, hear=hear)
        return run_locally(runs, study.evaluate, workers=self.workers or 1, hear=hear)


@dataclass(frozen=True)
class Agenda:
    """The runs of a study, and those of them that are left to do."""

    runs: tuple[Run, ...]
    standings: Mapping[str, Standing] = field(default_factory=dict)

    @property
    def left(self) -> list[Run]:
        """Runs that are not done; diverged ones have ended."""
        return [run for run in self.runs if self.standings[run.label].state not in ("done", "diverged")]


def recipes_of(study: Study) -> dict[str, Recipe]:
    """Give each variant's recipe, checked and its network built once. Raises StudyError and PeerError."""
    found: dict[str, Recipe] = {}
    for run in plan(study):
        found.setdefault(run.variant, run.recipe)
    for name, recipe in found.items():
        try:
            build_network(recipe)
        except (ValueError, TypeError, RuntimeError) as error:
            raise StudyError(f"variant {name}: {error}") from error
    return found


def prepare(study: Study, *, anew: bool) -> Agenda:
    """Look at what is done. With `anew`, runs that changed, diverged or failed lose what they have written.

    Raises StudyError for a run whose settings changed, naming it and them, and for a study that scores
    nothing.
    """
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
    runs = plan(study)
    standings = {run.label: standing_of(run, study.evaluate) for run in runs}
    for run in runs:
        standing = standings[run.label]
        if anew and standing.state in ("changed", "diverged", "failed"):
            forget(run)
            standings[run.label] = Standing("new")
        elif standing.state == "changed":
            raise StudyError(
                f"{run.folder} was begun with other settings: {', '.join(standing.changes)}; "
                "--anew makes such runs anew, another --run keeps them"
            )
    return Agenda(runs, standings)


def do_study(study: Study, *, engine: Engine, anew: bool, hear: Hear) -> Results:
    """Do what is left of a study, measure networks that were not measured, and compare.

    One such work at a time in a folder. Raises StudyError, StudyInterrupted and BusyError.
    """
    study.folder.mkdir(parents=True, exist_ok=True)
    with locked(study.folder / ".lock"):
        agenda = prepare(study, anew=anew)
        if agenda.left:
            check_material(study, {run.variant: run.recipe for run in agenda.runs})
        engine.run(agenda.left, study, hear)
        try:
            measured = costs_of(study)
            remarks = measured_where(measured)
        except RuntimeError as error:
            measured = already_kept(study, recipes_of(study))
            remarks = [f"{error}.", *measured_where(measured)]
        costs = {name: each.cost for name, each in measured.items()}
        return gather(study, agenda.runs, costs, remarks=remarks)


def costs_of(study: Study, *, renew: bool = False) -> dict[str, Measured]:
    """Give what the variants cost: measured now where that is not known yet, or all with `renew`.

    Raises RuntimeError when measuring fails, BusyError with `renew` while the study is at work.
    """
    if not renew:
        return kept_costs(study, recipes_of(study))
    study.folder.mkdir(parents=True, exist_ok=True)
    with locked(study.folder / ".lock"):
        return kept_costs(study, recipes_of(study), renew=True)
