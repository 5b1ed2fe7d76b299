"""How the runs of a study ended: the scores of each, what it took, its validation curve."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hfmoe.ablate.plan import Run
from hfmoe.ablate.standing import RunFiles, read_json, standing_of
from hfmoe.ablate.study import Study
from hfmoe.evaluate.report import Report
from hfmoe.train.run_log import number, read_records


class Point(NamedTuple):
    """A validation while training: the step, the processor time until then, the PSNR in dB."""

    step: int
    seconds: float
    psnr: float


@dataclass(frozen=True)
class Outcome:
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
        """Whether it has scores."""
        return self.reports is not None


def outcome_of(run: Run, study: Study) -> Outcome:
    """Read what one run left."""
    files = RunFiles(run.folder)
    state = standing_of(run, study.evaluate).state
    trained, scores = read_json(files.trained), read_json(files.scores)
    if state != "done" or trained is None or scores is None:
        failure = read_json(files.failure) or {}
        return Outcome(run, state, str(failure.get("reason", "")), curve=curve_of(run.folder))
    reports = {name: Report.from_dict(values) for name, values in scores["sets"].items()}
    return Outcome(
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
    """Read the validations of a run."""
    found = {}
    for record in read_records(folder / "metrics.jsonl").records:
        psnr, seconds = number(record.get("psnr")), number(record.get("processor_seconds"))
        if record.get("kind") == "validation" and psnr is not None:
            found[record["step"]] = Point(record["step"], seconds or 0.0, psnr)
    return tuple(found[step] for step in sorted(found))
