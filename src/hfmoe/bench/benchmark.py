"""The benchmark of a model: every case's time, throughput, memory and work, and how they grow."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from hfmoe.bench.forms import FORMS, Case, exported_form
from hfmoe.bench.timing import Rounds, Spread, ratio, spread
from hfmoe.bench.worker import TimingJob, run_job
from hfmoe.infer.tiles import tile_geometry
from hfmoe.models.config import HFMoEConfig
from hfmoe.models.cost import count_work
from hfmoe.runtime.machine import Machine, machine

MEMORY_SHARE = 0.8
"""Cases whose forecast peak is more than this share of the free memory are not run."""


class PowerFit(NamedTuple):
    """cost = a * pixels^b by least squares of the logarithms.

    error: standard error of b, None of two points, through which a power always goes. steepest: the largest
    exponent between neighbouring points.
    """

    a: float
    b: float
    error: float | None
    steepest: float

    def at(self, pixels: int) -> float:
        """Cost of an input of so many pixels by this law."""
        return self.a * pixels**self.b


@dataclass(frozen=True)
class CaseResult:
    """One case measured: milliseconds (quartiles), input megapixels a second, ratio to the first form.

    multiply_adds: those of the folded network with the experts that this input was sent to; ready_s:
    seconds from the weights to the first result, compiling included; peak_mib: memory of a run at the highest
    effort that was measured.
    """

    case: Case
    milliseconds: Spread
    runs: int
    megapixels_per_second: float
    ratio: Spread | None
    ready_s: float
    multiply_adds: int
    peak_mib: float | None


@dataclass(frozen=True)
class GrowthFit:
    """Power laws of a form at an effort over the sizes: of the time and, where measured, of the memory."""

    form: str
    effort: float
    time: PowerFit
    memory: PowerFit | None


@dataclass(frozen=True)
class Benchmark:
    """All that was measured, where, and what was left out and why."""

    model: str
    machine: Machine
    rows: tuple[CaseResult, ...]
    growth: tuple[GrowthFit, ...]
    overhead_us: float
    skipped: tuple[str, ...]
    input: str
    clock: str = "wall"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        rows = [_plain(row) for row in self.rows]
        growth = [
            {
                "form": each.form,
                "effort": each.effort,
                "time": each.time._asdict(),
                "memory": None if each.memory is None else each.memory._asdict(),
            }
            for each in self.growth
        ]
        return {**asdict(self), "rows": rows, "growth": growth}


@dataclass(frozen=True)
class Plan:
    """Settings of a benchmark: what to measure and how long."""

    model: str
    sizes: tuple[int, ...]
    efforts: tuple[float, ...]
    forms: tuple[str, ...]
    threads: int
    rounds: int = 15
    budget: float = 20.0
    memory: bool = True
    photo: str | None = None
    clock: str = "wall"


def bench(
    plan: Plan, config: HFMoEConfig, *, free: int, on_step: Callable[[str], None] = lambda _: None
) -> Benchmark:
    """Measure a plan; `free` is the memory in bytes that may be used, `on_step` hears what is being done.

    Raises ValueError for an unknown form, RuntimeError when no case can be measured.
    """
    cases, skipped = choose_cases(plan, config, free=free)
    times: dict[Case, dict[str, Any]] = {}
    overhead = 0.0
    for form_cases in _batches(cases):
        answer = run_job(_job(plan, form_cases), on_step=on_step)
        overhead = answer["overhead"]
        columns = zip(form_cases, answer["seconds"], answer["ready"], answer["expert_costs"], strict=True)
        times |= {
            case: {"rounds": Rounds(tuple(seconds)), "ready": ready, "costs": costs}
            for case, seconds, ready, costs in columns
        }
    peaks: dict[Case, float] = {}
    for case in worst_of(cases) if plan.memory else ():
        on_step(f"memory of {case.label()}")
        peak = run_job(_job(plan, (case,), memory=True))["peak_mib"]
        peaks |= {each: peak for each in cases if each._replace(effort=case.effort) == case}
    rows = tuple(_row(case, times, peaks, config) for case in cases)
    kind = "drawn noise, amplitude 1 / frequency" if plan.photo is None else plan.photo
    here = machine(threads=plan.threads)
    return Benchmark(plan.model, here, rows, growths(rows), 1e6 * overhead, tuple(skipped), kind, plan.clock)


def choose_cases(plan: Plan, config: HFMoEConfig, *, free: int) -> tuple[list[Case], list[str]]:
    """Return the cases that can be measured here, and why others cannot. RuntimeError when none can."""
    cases, skipped = [], []
    for form in plan.forms:
        missing = (FORMS[form] if form in FORMS else exported_form(form)).missing()
        if missing:
            skipped.append(f"{form}: {missing}")
            continue
        for size in plan.sizes:
            forecast = tile_geometry(config).run_bytes(size, size)
            if forecast > MEMORY_SHARE * free:
                need = f"{forecast / 2**30:.1f} GiB of memory, {free / 2**30:.1f} are free"
                skipped.append(f"{form}, {size} x {size}: needs about {need}")
                continue
            cases += [Case(form, size, size, effort) for effort in plan.efforts]
    if not cases:
        raise RuntimeError(f"nothing can be measured here: {'; '.join(skipped)}")
    return cases, skipped


def worst_of(cases: Sequence[Case]) -> list[Case]:
    """Of each form and size the case of the highest effort, whose memory stands for the others'."""
    highest = max(case.effort for case in cases)
    return [case for case in cases if case.effort == highest]


def growths(rows: Iterable[CaseResult]) -> tuple[GrowthFit, ...]:
    """Return power laws of each form and effort that was measured at two sizes or more."""
    groups: dict[tuple[str, float], list[CaseResult]] = {}
    for row in rows:
        groups.setdefault((row.case.form, row.case.effort), []).append(row)
    fits = []
    for (form, effort), group in groups.items():
        if len(group) < 2:
            continue
        pixels = [row.case.pixels for row in group]
        time = fit_power(pixels, [row.milliseconds.median for row in group])
        peaks = [row.peak_mib for row in group if row.peak_mib]
        memory = fit_power(pixels, peaks) if len(peaks) == len(group) else None
        fits.append(GrowthFit(form, effort, time, memory))
    return tuple(fits)


def fit_power(pixels: Sequence[int], costs: Sequence[float]) -> PowerFit:
    """Fit a power. Raises ValueError for fewer than two different sizes or values that are not above 0."""
    if len(set(pixels)) < 2 or len(pixels) != len(costs):
        raise ValueError(f"a fit needs costs at two sizes or more, not {len(set(pixels))}")
    if min(*pixels, *costs) <= 0:
        raise ValueError("sizes and costs of a fit must be above 0")
    points = sorted(zip(map(math.log, pixels), map(math.log, costs), strict=True))
    count = len(points)
    mean_x, mean_y = (math.fsum(axis) / count for axis in zip(*points, strict=True))
    spread = math.fsum((x - mean_x) ** 2 for x, _ in points)
    b = math.fsum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    rest = math.fsum((y - mean_y - b * (x - mean_x)) ** 2 for x, y in points)
    error = math.sqrt(rest / (count - 2) / spread) if count > 2 else None
    steps = [(d - b_) / (c - a_) for (a_, b_), (c, d) in zip(points, points[1:], strict=False) if c > a_]
    return PowerFit(math.exp(mean_y - b * mean_x), b, error, max(steps))


def _batches(cases: Sequence[Case]) -> list[tuple[Case, ...]]:
    """Cases of one size are measured in one process, in turn: ratios between them are what is asked."""
    sizes = sorted({case.pixels for case in cases})
    return [tuple(case for case in cases if case.pixels == size) for size in sizes]


def _job(plan: Plan, cases: tuple[Case, ...], *, memory: bool = False) -> TimingJob:
    return TimingJob(
        plan.model, cases, plan.threads, plan.rounds, plan.budget, memory, plan.photo, plan.clock
    )


def _row(case: Case, times: dict[Case, Any], peaks: dict[Case, float], config: HFMoEConfig) -> CaseResult:
    timed = times[case]
    seconds = timed["rounds"].runs()
    milliseconds = Spread(*(1e3 * value for value in spread(seconds)))
    first = case._replace(form=next(iter(FORMS)))
    return CaseResult(
        case,
        milliseconds,
        runs=len(seconds),
        megapixels_per_second=case.pixels / 1e3 / milliseconds.median,
        ratio=ratio(timed["rounds"], times[first]["rounds"]) if first in times and first != case else None,
        ready_s=timed["ready"],
        multiply_adds=count_work(config, case.height, case.width).at(timed["costs"]),
        peak_mib=peaks.get(case),
    )


def _plain(row: CaseResult) -> dict[str, Any]:
    return {
        **row.case._asdict(),
        "milliseconds": row.milliseconds._asdict(),
        "runs": row.runs,
        "megapixels_per_second": row.megapixels_per_second,
        "ratio": None if row.ratio is None else row.ratio._asdict(),
        "ready_s": row.ready_s,
        "multiply_adds": row.multiply_adds,
        "peak_mib": row.peak_mib,
    }
