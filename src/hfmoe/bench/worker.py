"""The process that measures: a job as JSON on stdin, what was found as JSON on stdout, progress on stderr.

A process of its own starts with the allocator's settings, the number of threads and no other work; and only
the peak of a fresh process is the peak of what it ran.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import torch
from torch import Tensor

from hfmoe.bench.forms import Case, form_named
from hfmoe.bench.picture import photo_of_size, pink_image
from hfmoe.bench.timing import CLOCKS, interleave, seconds_of
from hfmoe.infer.measure import describe
from hfmoe.models.weights import Loaded
from hfmoe.runtime.memory import peak_mib, resident_mib, reuse_memory

IDLE_RUNS = 1000
STEP = "step: "
"""What a line of progress begins with; other lines are warnings and errors."""


@dataclass(frozen=True)
class Job:
    """What a worker measures: the seconds of cases in turn, or (`memory`) the peak of one case."""

    model: str
    cases: tuple[Case, ...]
    threads: int
    rounds: int
    budget: float
    memory: bool = False
    photo: str | None = None
    clock: str = "wall"


def run_job(job: Job, *, on_step: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Measure in a fresh process; `on_step` hears what is being done there.

    Raises RuntimeError with the last line of what went wrong.
    """
    with TemporaryFile("w+") as found:
        child = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=found,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": str(job.threads)},
        )
        with child:
            try:
                said = _heard(child, job, on_step)
            except BaseException:
                child.kill()
                raise
        if child.returncode:
            reason = (said or [f"status {child.returncode}"])[-1]
            raise RuntimeError(f"measuring {job.cases[0].label()} failed: {reason}")
        found.seek(0)
        return json.load(found)


def _heard(child: subprocess.Popen[str], job: Job, on_step: Callable[[str], None]) -> list[str]:
    """Give the job to the process and pass its progress on until it ends; what else it said."""
    assert child.stdin is not None and child.stderr is not None
    said: list[str] = []
    with suppress(BrokenPipeError), child.stdin:
        child.stdin.write(json.dumps(asdict(job)))
    for line in filter(None, map(str.strip, child.stderr)):
        if line.startswith(STEP):
            on_step(line.removeprefix(STEP))
        else:
            said.append(line)
    return said


def tell(step: str) -> None:
    """Say on stderr what is being done, for the process that asked."""
    sys.stderr.write(f"{STEP}{step}\n")
    sys.stderr.flush()


def measure_times(job: Job) -> dict[str, Any]:
    """Seconds of each case by round, the seconds that making each took, loads, and the timer's own cost."""
    loaded = describe(job.model)
    images = {case: _image(job, case, loaded) for case in job.cases}
    made, ready = {}, []
    runs = {case: (lambda case=case: made[case](images[case])) for case in job.cases}
    for case, run in runs.items():
        tell(f"{case.label()}: made ready")
        making = seconds_of(lambda case=case: made.update({case: form_named(case.form).make(loaded, case)}))
        ready.append(making + seconds_of(run))
    forms = ", ".join(dict.fromkeys(case.form for case in job.cases))
    sizes = ", ".join(dict.fromkeys(f"{case.height} x {case.width}" for case in job.cases))
    tell(f"{forms}, {sizes}: {len(job.cases)} cases timed in turn")
    found = interleave(runs, rounds=job.rounds, budget=job.budget, clock=CLOCKS[job.clock])
    idle = [seconds_of(lambda: None) for _ in range(IDLE_RUNS)]
    return {
        "seconds": [found[case].seconds for case in job.cases],
        "ready": ready,
        "expert_costs": [expert_costs(loaded, images[case], case.effort) for case in job.cases],
        "overhead": statistics.median(idle),
    }


def measure_memory(job: Job) -> dict[str, Any]:
    """MiB that two runs of one case add to the resident memory of a process that has all but run."""
    (case,) = job.cases
    loaded = describe(job.model)
    image = _image(job, case, loaded)
    run = form_named(case.form).make(loaded, case)
    resting = resident_mib()
    for _ in range(2):
        run(image)
    return {"peak_mib": max(0.0, peak_mib() - resting)}


def expert_costs(loaded: Loaded, image: Tensor, effort: float) -> list[float]:
    """Of each mixture on this image, the share of its heaviest expert's cost."""
    from hfmoe.nn.experts import MoEFFN

    side = 64 * loaded.config.size_multiple
    routing = loaded.network(image[..., :side, :side], effort=effort).routing
    layers = [layer for layer in loaded.network.modules() if isinstance(layer, MoEFFN)]
    pairs = zip(layers, routing, strict=True)
    return [float((each.load * layer.costs).sum()) * each.chosen.shape[-1] for layer, each in pairs]


def _image(job: Job, case: Case, loaded: Loaded) -> Tensor:
    channels = loaded.config.channels
    if job.photo is None:
        image = pink_image(case.height, case.width, channels=channels)
    else:
        image = photo_of_size(Path(job.photo), case.height, case.width, channels=channels)
    return image.to(memory_format=torch.channels_last)


def parse_job(values: dict[str, Any]) -> Job:
    """The job that `asdict` made plain."""
    return Job(**{**values, "cases": tuple(Case(*case) for case in values["cases"])})


def main(_: Sequence[str] = ()) -> None:
    """Do the job on stdin."""
    reuse_memory()
    job = parse_job(json.load(sys.stdin))
    torch.set_num_threads(job.threads)
    with torch.inference_mode():
        found = measure_memory(job) if job.memory else measure_times(job)
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
