"""Results of a study: scores over seeds, differences to the base paired by seed and image, and costs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Literal, NamedTuple

from hfmoe.ablate.costs import Cost
from hfmoe.ablate.plan import Run
from hfmoe.ablate.run_state import RunFiles, state_of
from hfmoe.ablate.study import Study
from hfmoe.evaluate.report import Report, check_same_images, differences_by_image, finite_or_text
from hfmoe.evaluate.scores import LOWER_IS_BETTER
from hfmoe.evaluate.statistics import Interval, bootstrap_crossed
from hfmoe.runtime.files import read_json
from hfmoe.train.run_log import number, read_records

Verdict = Literal["base", "better", "worse", "inside the noise", "one seed", "unknown"]


class Point(NamedTuple):
    """A validation while training: the step, the processor time until then, the PSNR in dB."""

    step: int
    seconds: float
    psnr: float


@dataclass(frozen=True)
class RunOutcome:
    """One run that ended: its scores by set, or why there are none."""

    run: Run
    state: str
    reason: str = ""
    reports: Mapping[str, Report] | None = None
    metric: str = ""
    steps: int = 0
    seconds: float = 0.0
    code: str = ""
    machine: str = ""
    curve: tuple[Point, ...] = ()

    @property
    def done(self) -> bool:
        """True where it has scores."""
        return self.reports is not None


def outcome_of(run: Run, study: Study) -> RunOutcome:
    """Read the outcome of a run from its folder."""
    files = RunFiles(run.folder)
    state = state_of(run, study.evaluate).state
    trained, scores = read_json(files.trained), read_json(files.scores)
    if state != "done" or trained is None or scores is None:
        failure = read_json(files.failure) or {}
        return RunOutcome(run, state, str(failure.get("reason", "")), curve=curve_of(run.folder))
    reports = {name: Report.from_dict(values) for name, values in scores["sets"].items()}
    return RunOutcome(
        run,
        state,
        reports=reports,
        metric=scores["metric"],
        steps=trained["steps"],
        seconds=trained["processor_seconds"],
        code=trained["code"],
        machine=trained["machine"]["processor"],
        curve=curve_of(run.folder),
    )


def curve_of(folder: Path) -> tuple[Point, ...]:
    """Return the validations of a run."""
    points = {}
    for record in read_records(folder / "metrics.jsonl").records:
        psnr, seconds = number(record.get("psnr")), number(record.get("processor_seconds"))
        if record.get("kind") == "validation" and psnr is not None:
            points[record["step"]] = Point(record["step"], seconds or 0.0, psnr)
    return tuple(points[step] for step in sorted(points))


class Estimate(NamedTuple):
    """A mean over seeds and its spread: the standard deviation, None of a single seed."""

    mean: float
    spread: float | None


@dataclass(frozen=True)
class PairedDifference:
    """A variant minus the base, paired by seed and by image.

    interval: 95 % of the mean difference when seeds and images are drawn anew, None where a difference is
    infinite; seeds: the mean difference of each seed that both have.
    """

    mean: float
    interval: Interval | None
    seeds: tuple[float, ...]


def estimate(runs: Sequence[Mapping[str, Report]], metric: str, sets: Sequence[str]) -> Estimate | None:
    """Return mean and spread over seeds of the mean score of all images of sets; None without runs."""
    if not runs:
        return None
    values = [fmean(value for name in sets for value in run[name].values(metric)) for run in runs]
    finite = all(map(math.isfinite, values))
    return Estimate(fmean(values), stdev(values) if len(values) > 1 and finite else None)


def compare_runs(
    outcomes: Sequence[RunOutcome], base: Sequence[RunOutcome], metric: str, sets: tuple[str, ...]
) -> PairedDifference | None:
    """Compare runs of the same seeds on the same images; None where no seed has both."""
    theirs = {outcome.run.recipe.seed: outcome.reports for outcome in base if outcome.reports}
    table = []
    for outcome in outcomes:
        other = theirs.get(outcome.run.recipe.seed)
        if outcome.reports is None or other is None:
            continue
        row: list[float] = []
        for name in sets:
            check_same_images(outcome.reports[name], other[name])
            row += differences_by_image(outcome.reports[name], other[name], metric)
        table.append(row)
    if not table:
        return None
    seeds = tuple(fmean(row) for row in table)
    finite = all(math.isfinite(value) for row in table for value in row)
    return PairedDifference(fmean(seeds), bootstrap_crossed(table) if finite else None, seeds)


def verdict_of(difference: PairedDifference | None, metric: str) -> Verdict:
    """Return whether a difference is one: its interval leaves out 0 and all seeds agree on its sign.

    Of one seed nothing is said: its interval holds the chance of the images, not that of training.
    """
    if difference is None or difference.interval is None:
        return "unknown"
    if len(difference.seeds) < 2:
        return "one seed"
    agree = all(value > 0 for value in difference.seeds) or all(value < 0 for value in difference.seeds)
    if not agree or difference.interval.low <= 0 <= difference.interval.high:
        return "inside the noise"
    higher = difference.mean > 0
    return "better" if higher != (metric in LOWER_IS_BETTER) else "worse"


@dataclass(frozen=True)
class VariantResult:
    """One variant: means over all images of all sets, and of each set."""

    variant: str
    about: str
    outcomes: tuple[RunOutcome, ...]
    score: Estimate | None
    sets: Mapping[str, Estimate]
    difference: PairedDifference | None
    set_differences: Mapping[str, PairedDifference]
    verdict: Verdict
    cost: Cost | None

    @property
    def done(self) -> tuple[RunOutcome, ...]:
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
    rows: tuple[VariantResult, ...]
    metric: str
    notes: tuple[str, ...]

    @property
    def base(self) -> VariantResult:
        """The row of the base."""
        return next(row for row in self.rows if row.variant == self.study.reference)

    @property
    def failed(self) -> list[RunOutcome]:
        """Runs that ended without scores, or were not run."""
        return [outcome for row in self.rows for outcome in row.outcomes if not outcome.done]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "study": self.study.model_dump(mode="json"),
            "metric": self.metric,
            "notes": list(self.notes),
            "variants": finite_or_text([_row_data(row) for row in self.rows]),
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
    outcomes: tuple[RunOutcome, ...],
    base: Sequence[RunOutcome],
    metric: str,
    cost: Cost | None,
) -> VariantResult:
    """Put a variant's runs together and compare them with the base's."""
    change, sets = study.variants[name], tuple(study.evaluate.sets)
    done = [outcome.reports for outcome in outcomes if outcome.reports]
    difference, by_set, verdict = None, {}, "base"
    if name != study.reference:
        difference = compare_runs(outcomes, base, metric, sets)
        by_set = {each: compare_runs(outcomes, base, metric, (each,)) for each in sets}
        verdict = verdict_of(difference, metric)
    return VariantResult(
        name,
        "" if isinstance(change, str) else str(change.get("about", "")),
        outcomes,
        estimate(done, metric, sets),
        {each: score for each in sets if (score := estimate(done, metric, (each,))) is not None},
        difference,
        {each: value for each, value in by_set.items() if value is not None},
        verdict,
        cost,
    )


def notes_of(study: Study, runs: Sequence[Run], rows: Sequence[VariantResult]) -> list[str]:
    """Return what a reader must know of how the results came about."""
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


def _compared(run: Run) -> dict[str, Any]:
    settings = run.settings()
    recipe = {
        name: value for name, value in settings["recipe"].items() if name not in ("name", "run", "network")
    }
    return {**recipe, "config": settings["config"]}


def _row_data(row: VariantResult) -> dict[str, Any]:
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


def _outcome_data(outcome: RunOutcome) -> dict[str, Any]:
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
