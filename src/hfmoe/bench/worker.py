"""Measurements of a model in a process of their own: seconds of cases in turn, or the peak of one."""

import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hfmoe.bench.forms import Case, form_named
from hfmoe.bench.inputs import photo_of_size, pink_image
from hfmoe.bench.timing import CLOCKS, interleave, seconds_of
from hfmoe.infer.measure import describe
from hfmoe.models.weights import Loaded
from hfmoe.nn.experts import MoEFFN
from hfmoe.runtime.child import ChildError, report_step, run_in_child
from hfmoe.runtime.memory import added_peak_mib, reuse_memory

IDLE_RUNS = 1000


@dataclass(frozen=True)
class TimingJob:
    """A measurement: the seconds of cases in turn, or (`memory`) the peak of one case."""

    model: str
    cases: tuple[Case, ...]
    threads: int
    rounds: int
    budget: float
    memory: bool = False
    photo: str | None = None
    clock: str = "wall"


def run_job(job: TimingJob, *, on_step: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Measure in a fresh process; `on_step` hears what is being done there.

    Raises RuntimeError with the last line of what went wrong.
    """
    try:
        return run_in_child(measure, asdict(job), threads=job.threads, on_step=on_step)
    except ChildError as error:
        raise RuntimeError(f"measuring {job.cases[0].label()} failed: {error}") from error


def measure(values: dict[str, Any]) -> dict[str, Any]:
    """Do the job of plain values in this process."""
    reuse_memory()
    job = TimingJob(**{**values, "cases": tuple(Case(*case) for case in values["cases"])})
    torch.set_num_threads(job.threads)
    with torch.inference_mode():
        return measure_memory(job) if job.memory else measure_times(job)


def measure_times(job: TimingJob) -> dict[str, Any]:
    """Return seconds of each case by round, those that making each took, loads, and the timer's own cost."""
    loaded = describe(job.model)
    images = {case: _image(job, case, loaded) for case in job.cases}
    made, ready = {}, []
    runs = {case: (lambda case=case: made[case](images[case])) for case in job.cases}
    for case, run in runs.items():
        report_step(f"{case.label()}: made ready")
        making = seconds_of(lambda case=case: made.update({case: form_named(case.form).make(loaded, case)}))
        ready.append(making + seconds_of(run))
    forms = ", ".join(dict.fromkeys(case.form for case in job.cases))
    sizes = ", ".join(dict.fromkeys(f"{case.height} x {case.width}" for case in job.cases))
    report_step(f"{forms}, {sizes}: {len(job.cases)} cases timed in turn")
    rounds = interleave(runs, rounds=job.rounds, budget=job.budget, clock=CLOCKS[job.clock])
    idle = [seconds_of(lambda: None) for _ in range(IDLE_RUNS)]
    return {
        "seconds": [rounds[case].seconds for case in job.cases],
        "ready": ready,
        "expert_costs": [expert_costs(loaded, images[case], case.effort) for case in job.cases],
        "overhead": statistics.median(idle),
    }


def measure_memory(job: TimingJob) -> dict[str, Any]:
    """Return the MiB that two runs of one case add to the memory of a process that has all but run."""
    (case,) = job.cases
    loaded = describe(job.model)
    image = _image(job, case, loaded)
    run = form_named(case.form).make(loaded, case)
    return {"peak_mib": added_peak_mib(lambda: (run(image), run(image)))}


def expert_costs(loaded: Loaded, image: Tensor, effort: float) -> list[float]:
    """Return the share of its heaviest expert's cost that each mixture spends on this image."""
    side = 64 * loaded.config.size_multiple
    routing = loaded.network(image[..., :side, :side], effort=effort).routing
    layers = [layer for layer in loaded.network.modules() if isinstance(layer, MoEFFN)]
    pairs = zip(layers, routing, strict=True)
    return [float((each.load * layer.costs).sum()) * each.chosen.shape[-1] for layer, each in pairs]


def _image(job: TimingJob, case: Case, loaded: Loaded) -> Tensor:
    channels = loaded.config.channels
    if job.photo is None:
        image = pink_image(case.height, case.width, channels=channels)
    else:
        image = photo_of_size(Path(job.photo), case.height, case.width, channels=channels)
    return image.to(memory_format=torch.channels_last)
