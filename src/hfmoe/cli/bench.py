"""`hfmoe bench`: what a model costs by form, size and effort, as a table and as JSON."""

from collections.abc import Callable
from json import dumps
from pathlib import Path
from typing import Annotated, TypeVar

import torch
from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from hfmoe.bench.benchmark import Benchmark, Plan, PowerFit
from hfmoe.bench.benchmark import bench as measure
from hfmoe.bench.forms import FORMS
from hfmoe.bench.growth import draw_growth
from hfmoe.bench.timing import CLOCKS, LEAST_RUNS
from hfmoe.cli.errors import UsageError
from hfmoe.cli.output import check_report, table, tables, write_report
from hfmoe.infer.backends.exported import is_exported
from hfmoe.infer.measure import describe
from hfmoe.infer.memory import free_bytes
from hfmoe.report.figure import check_matplotlib

Value = TypeVar("Value")
LARGEST_SIDE = 8192


def parse_plan(
    model: str,
    *,
    sizes: str,
    efforts: str,
    forms: str,
    threads: int | None,
    rounds: int,
    seconds: float,
    memory: bool,
    photo: Path | None,
    clock: str = "wall",
) -> Plan:
    """The plan that the command line describes. Raises UsageError naming what is wrong."""
    sides = _list("--sizes", sizes, int, lambda side: 1 <= side <= LARGEST_SIDE, f"from 1 to {LARGEST_SIDE}")
    dial = _list("--efforts", efforts, float, lambda effort: 0 <= effort <= 1, "in [0, 1]")
    named = tuple(FORMS) if forms == "all" else tuple(forms.split(","))
    for form in named:
        if form not in FORMS and not (is_exported(form) and Path(form).is_file()):
            known = ", ".join(FORMS)
            raise UsageError(
                f"--forms {form!r} must be all, some of {known}, or exported files that are there"
            )
    count = torch.get_num_threads() if threads is None else threads
    if count < 1:
        raise UsageError(f"--threads {count} must be at least 1")
    if rounds < LEAST_RUNS or not seconds > 0:
        raise UsageError(f"--rounds {rounds} must be at least {LEAST_RUNS}, --seconds {seconds} above 0")
    if photo is not None and not photo.is_file():
        raise UsageError(f"--image {photo}: no such file")
    if clock not in CLOCKS:
        raise UsageError(f"--clock {clock!r} must be one of {', '.join(CLOCKS)}")
    image = None if photo is None else str(photo)
    return Plan(model, sides, dial, named, count, rounds, seconds, memory, image, clock)


def bench(
    model: str,
    /,
    *,
    sizes: str = "128,256,512",
    efforts: str = "0.5",
    forms: str = "eager",
    threads: int | None = None,
    rounds: int = 15,
    seconds: float = 20.0,
    memory: Annotated[bool, Parameter(negative="--no-memory")] = True,
    image: Path | None = None,
    clock: str = "wall",
    json: Path | None = None,
    plot: Path | None = None,
) -> None:
    """Measure time, throughput, memory and multiply-adds by input size, effort and form, and how they grow.

    Parameters
    ----------
    model
        A model that ships, a weights file, or a preset, which is then untrained.
    sizes
        Sides of square inputs in pixels, with commas between.
    efforts
        Efforts in [0, 1], with commas between.
    forms
        eager, compiled (all is both), and files that `hfmoe export` wrote of this model, with commas between.
    threads
        Threads of a run; torch's own choice by default.
    rounds
        Times that each case is run, in turn with the others of its size.
    seconds
        A case that takes longer is run fewer times, at least three.
    memory
        Measure peak memory too, each case in a fresh process.
    image
        A photo to run on, cut or mirrored to each size; drawn noise by default.
    clock
        wall, or cpu: processor time, which other programs take no part of.
    json
        Also write all figures to this file.
    plot
        Also draw time and memory over the input's pixels to this PNG file.
    """
    settings = {"rounds": rounds, "seconds": seconds, "memory": memory, "photo": image, "clock": clock}
    plan = parse_plan(model, sizes=sizes, efforts=efforts, forms=forms, threads=threads, **settings)
    if json is not None:
        check_report(json)
    if plot is not None:
        check_plot(plot)
    config = describe(plan.model).config
    with Console(stderr=True).status(f"measuring {plan.model}") as status:
        found = measure(
            plan,
            config,
            free=free_bytes(torch.device("cpu")),
            on_step=lambda step: status.update(f"measuring {plan.model}: {step}"),
        )
    show(found)
    if json is not None:
        write_report(json, dumps(found.to_dict(), indent=2, allow_nan=False))
    if plot is not None:
        draw_growth(found, plot)


def check_plot(path: Path) -> None:
    """Asked before the work: UsageError, OSError or ImportError where no plot could be written to path."""
    if path.suffix.lower() != ".png":
        raise UsageError(f"--plot {path} must be a PNG file, with a name that ends with .png")
    check_matplotlib()
    check_report(path)


def show(found: Benchmark) -> None:
    """Print what was measured, how it grows, where, and what was left out."""
    console = tables()
    console.print(_table(found))
    for each in found.growth:
        memory = "" if each.memory is None else f"; memory b = {_exponent(each.memory)}"
        console.print(
            f"{each.form}, effort {each.effort:g}: time = a * pixels^b with b = {_exponent(each.time)} "
            f"(steepest step {each.time.steepest:.3f}){memory}",
            soft_wrap=True,
        )
    for reason in found.skipped:
        console.print(f"left out: {reason}", soft_wrap=True)
    console.print(
        f"input: {found.input}; {found.clock} clock; a timing itself costs {found.overhead_us:.1f} us",
        soft_wrap=True,
    )
    console.print(found.machine.line(), soft_wrap=True)


def _exponent(fit: PowerFit) -> str:
    return f"{fit.b:.3f} " + ("from two sizes alone" if fit.error is None else f"+- {fit.error:.3f}")


def _table(found: Benchmark) -> Table:
    over = f"over {next(iter(FORMS))}"
    head = ("input", "form", "effort", "ms", "MP/s", over, "peak MiB", "G mult-adds", "ready s", "runs")
    made = table(f"{found.model}: medians, quartiles in brackets", head, left=2)
    for row in found.rows:
        low, median, high = row.milliseconds
        ratio = "" if row.ratio is None else "{1:.2f} [{0:.2f} {2:.2f}]".format(*row.ratio)
        made.add_row(
            f"{row.case.height} x {row.case.width}",
            row.case.form,
            f"{row.case.effort:g}",
            f"{median:.1f} [{low:.1f} {high:.1f}]",
            f"{row.megapixels_per_second:.2f}",
            ratio,
            "" if row.peak_mib is None else f"{row.peak_mib:.0f}",
            f"{row.multiply_adds / 1e9:.2f}",
            f"{row.ready_s:.1f}",
            str(row.runs),
        )
    return made


def _list(
    option: str, text: str, kind: Callable[[str], Value], fits: Callable[[Value], bool], rule: str
) -> tuple[Value, ...]:
    try:
        values = tuple(kind(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"{option} {text!r} must be numbers with commas between") from error
    for value in values:
        if not fits(value):
            raise UsageError(f"{option} {value} must be {rule}")
    return tuple(dict.fromkeys(values))
