"""What a study found: scores, paired differences to the base, costs, and what went wrong."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from hfmoe.ablate.comparison import Difference, Estimate, Verdict, compare_runs, estimate, judged
from hfmoe.ablate.costs import Cost
from hfmoe.ablate.outcomes import Outcome, outcome_of
from hfmoe.ablate.plan import Run
from hfmoe.ablate.study import Study
from hfmoe.evaluate.report import Report


@dataclass(frozen=True)
class Row:
    """One variant: means over all images of all sets, and of each set."""

    variant: str
    about: str
    outcomes: tuple[Outcome, ...]
    score: Estimate | None
    sets: Mapping[str, Estimate]
    difference: Difference | None
    set_differences: Mapping[str, Difference]
    verdict: Verdict
    cost: Cost | None

    @property
    def done(self) -> tuple[Outcome, ...]:
        """The runs with scores."""
        return tuple(outcome for outcome in self.outcomes if outcome.done)

    @property
    def steps(self) -> float | None:
        """Mean steps of a run."""
        return fmean(outcome.steps for outcome in self.done) if self.done else None

    @property
    def seconds(self) -> float | None:
        """Mean processor time of a run's training."""
        return fmean(outcome.seconds for outcome in self.done) if self.done else None


@dataclass(frozen=True)
class Results:
    """All variants of a study, the base among them."""

    study: Study
    rows: tuple[Row, ...]
    metric: str
    notes: tuple[str, ...]

    @property
    def base(self) -> Row:
        """The row of the base."""
        return next(row for row in self.rows if row.variant == self.study.reference)

    @property
    def failed(self) -> list[Outcome]:
        """Runs that ended without scores, or were not run."""
        return [outcome for row in self.rows for outcome in row.outcomes if not outcome.done]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "study": self.study.model_dump(mode="json"),
            "metric": self.metric,
            "notes": list(self.notes),
            "variants": plain([_row_data(row) for row in self.rows]),
        }


def gather(
    study: Study, runs: Sequence[Run], costs: Mapping[str, Cost], *, remarks: Sequence[str] = ()
) -> Results:
    """Read what the runs left and compare; `remarks` are notes. ValueError where images are not the same."""
    by_variant = {name: [run for run in runs if run.variant == name] for name in study.variants}
    outcomes = {name: tuple(outcome_of(run, study) for run in own) for name, own in by_variant.items()}
    metric = next((each.metric for own in outcomes.values() for each in own if each.done), "")
    base = outcomes[study.reference]
    rows = tuple(make_row(study, name, own, base, metric, costs.get(name)) for name, own in outcomes.items())
    notes = [*notes_of(study, runs, rows), *remarks]
    return Results(study, rows, metric, tuple(notes))


def make_row(
    study: Study,
    name: str,
    outcomes: tuple[Outcome, ...],
    base: Sequence[Outcome],
    metric: str,
    cost: Cost | None,
) -> Row:
    """Put a variant's runs together and compare them with the base's."""
    change, sets = study.variants[name], tuple(study.evaluate.sets)
    done = [outcome.reports for outcome in outcomes if outcome.reports]
    difference, by_set, verdict = None, {}, "base"
    if name != study.reference:
        difference = compare_runs(outcomes, base, metric, sets)
        by_set = {each: compare_runs(outcomes, base, metric, (each,)) for each in sets}
        verdict = judged(difference, metric)
    return Row(
        name,
        "" if isinstance(change, str) else str(change.get("about", "")),
        outcomes,
        estimate([score_over(reports, metric, sets) for reports in done]) if done else None,
        {each: estimate([score_over(reports, metric, (each,)) for reports in done]) for each in sets if done},
        difference,
        {each: found for each, found in by_set.items() if found is not None},
        verdict,
        cost,
    )


def score_over(reports: Mapping[str, Report], metric: str, sets: Sequence[str]) -> float:
    """Mean score over all images of sets."""
    return fmean(value for name in sets for value in reports[name].values(metric))


def notes_of(study: Study, runs: Sequence[Run], rows: Sequence[Row]) -> list[str]:
    """Say what a reader must know of how the results came about."""
    notes = []
    first = {run.variant: run for run in reversed(runs)}
    ours = _compared(first[study.reference])
    same = [name for name in first if name != study.reference and _compared(first[name]) == ours]
    if same:
        notes.append(f"The same as the base in every setting: {', '.join(same)}.")
    done = [outcome for row in rows for outcome in row.done]
    if len({outcome.code for outcome in done}) > 1:
        notes.append("The runs were trained by different versions of the code.")
    if len({outcome.machine for outcome in done}) > 1:
        notes.append("The runs were trained on different processors.")
    if len(study.seeds) == 1:
        notes.append("One seed: intervals hold the chance of the images alone, not that of training.")
    return notes


def plain(value: Any) -> Any:
    """Put numbers that JSON has no sign for, such as the PSNR of equal images, as words."""
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _compared(run: Run) -> dict[str, Any]:
    settings = run.settings()
    recipe = {
        name: value for name, value in settings["recipe"].items() if name not in ("name", "run", "network")
    }
    return {**recipe, "config": settings["config"]}


def _row_data(row: Row) -> dict[str, Any]:
    return {
        "variant": row.variant,
        "about": row.about,
        "verdict": row.verdict,
        "score": row.score and row.score._asdict(),
        "sets": {name: value._asdict() for name, value in row.sets.items()},
        "difference": row.difference and asdict(row.difference),
        "set_differences": {name: asdict(value) for name, value in row.set_differences.items()},
        "steps": row.steps,
        "processor_seconds": row.seconds,
        "cost": row.cost and asdict(row.cost),
        "runs": [_outcome_data(outcome) for outcome in row.outcomes],
    }


def _outcome_data(outcome: Outcome) -> dict[str, Any]:
    return {
        "seed": outcome.run.recipe.seed,
        "state": outcome.state,
        "reason": outcome.reason,
        "steps": outcome.steps,
        "processor_seconds": outcome.seconds,
        "code": outcome.code,
        "scores": {name: report.mean().present() for name, report in (outcome.reports or {}).items()},
        "curve": [point._asdict() for point in outcome.curve],
    }
