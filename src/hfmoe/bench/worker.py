"""The process that measures: a job as JSON on stdin, what was found as JSON on stdout.

A process of its own starts with the allocator's settings, the number of threads and no other work; and only
the peak of a fresh process is the peak of what it ran.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hfmoe.bench.forms import Case, form_named
from hfmoe.bench.picture import photo_of_size, pink_image
from hfmoe.bench.timing import CLOCKS, interleave, seconds_of
from hfmoe.infer.allocator import reuse_memory
from hfmoe.infer.measure import describe
from hfmoe.models.weights import Loaded

IDLE_RUNS = 1000


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


def run_job(job: Job) -> dict[str, Any]:
    """Measure in a fresh process. Raises RuntimeError with the last line of what went wrong there."""
    child = subprocess.run(
        [sys.executable, "-m", __name__],
        input=json.dumps(asdict(job)),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": str(job.threads)},
    )
    if child.returncode:
        reason = (child.stderr.strip().splitlines() or [f"status {child.returncode}"])[-1]
        raise RuntimeError(f"measuring {', '.join(case.label() for case in job.cases[:1])} failed: {reason}")
    return json.loads(child.stdout)


def measure_times(job: Job) -> dict[str, Any]:
    """Seconds of each case by round, the seconds that making each took, loads, and the timer's own cost."""
    loaded = describe(job.model)
    images = {case: _image(job, case, loaded) for case in job.cases}
    made, ready = {}, []
    for case in job.cases:
        ready.append(
            seconds_of(lambda case=case: made.update({case: form_named(case.form).make(loaded, case)}))
        )
    runs = {case: (lambda case=case: made[case](images[case])) for case in job.cases}
    first = [seconds_of(run) for run in runs.values()]
    found = interleave(runs, rounds=job.rounds, budget=job.budget, clock=CLOCKS[job.clock])
    idle = [seconds_of(lambda: None) for _ in range(IDLE_RUNS)]
    return {
        "seconds": [found[case].seconds for case in job.cases],
        "ready": [a + b for a, b in zip(ready, first, strict=True)],
        "expert_costs": [expert_costs(loaded, images[case], case.effort) for case in job.cases],
        "overhead": statistics.median(idle),
    }


def measure_memory(job: Job) -> dict[str, Any]:
    """MiB that two runs of one case add to the resident memory of a process that has all but run."""
    (case,) = job.cases
    loaded = describe(job.model)
    image = _image(job, case, loaded)
    run = form_named(case.form).make(loaded, case)
    resting = _resident()
    for _ in range(2):
        run(image)
    return {"peak_mib": max(0.0, (_peak() - resting) / 2**20)}


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


def _resident() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return _peak()


def _peak() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


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
