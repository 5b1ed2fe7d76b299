"""The work of `hfmoe evaluate`: a model's scores on a folder, as a table, JSON and pictures."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table
from torch import Tensor

from hfmoe.cli.errors import UsageError
from hfmoe.cli.reports import check_report, tables, write_report
from hfmoe.cli.restoring import open_model
from hfmoe.evaluate.choice import NAMES, ProtocolSettings, choose_protocol, default_protocol
from hfmoe.evaluate.pictures import Album, check_pictures
from hfmoe.evaluate.protocol import EvaluationProtocol, ImagePair, Restore
from hfmoe.evaluate.report import PairedTest, Report, compare, evaluate
from hfmoe.evaluate.restoration import as_given
from hfmoe.evaluate.scores import COLUMNS, Distance, Scores
from hfmoe.evaluate.super_resolution import bicubic
from hfmoe.infer.ensemble import ensemble
from hfmoe.metrics.weights import load_dists, load_lpips
from hfmoe.runtime.machine import machine


@dataclass(frozen=True)
class Task:
    """What to evaluate, as given on the command line."""

    model: str
    folder: Path
    scale: int | None
    protocol: str | None
    settings: ProtocolSettings
    effort: float = 0.5
    ensemble: bool = False
    against: str | None = None
    lpips: Path | None = None
    dists: Path | None = None
    pictures: Path | None = None
    json: Path | None = None


@dataclass(frozen=True)
class Contender:
    """A restorer of a scale, and the protocol that fits its task."""

    restore: Restore
    scale: int
    protocol: str


def score(task: Task) -> None:
    """Evaluate, print tables, write what was asked for."""
    if task.json is not None:
        check_report(task.json)
    if task.pictures is not None:
        check_pictures(task.pictures)
    distances = load_distances(task.lpips, task.dists)
    first = _contender(task.model, task)
    protocol = _protocol(first, task)
    second = None if task.against is None else _rival(task.against, first, task)
    album = None if task.pictures is None else Album(task.pictures, task.model, border=protocol.border)
    report = _run(task.model, first, task, protocol, distances, on_restored=album and album.add)
    if album is not None:
        album.finish()
    tables().print(_table(report, _how(task.model, task)))
    facts = {"model": task.model, "effort": task.effort, "ensemble": task.ensemble, **report.to_dict()}
    if second is not None and task.against is not None:
        other = _run(task.against, second, task, protocol, distances)
        compared = compare(report, other)
        tables().print(_comparison_table(compared, task.model, task.against))
        facts["against"] = {"model": task.against, **other.to_dict()}
        facts["differences"] = [each.to_dict() for each in compared]
    if task.json is not None:
        facts["machine"] = machine().to_dict()
        write_report(task.json, json.dumps(facts, indent=2, allow_nan=False))


def _run(
    model: str,
    contender: Contender,
    task: Task,
    protocol: EvaluationProtocol,
    distances: dict[str, Distance],
    on_restored: Callable[[ImagePair, Tensor], None] | None = None,
) -> Report:
    with Console(stderr=True).status(f"{model} on {task.folder}") as status:
        return evaluate(
            _eightfold(contender.restore) if task.ensemble else contender.restore,
            task.folder,
            protocol=protocol,
            distances=distances,
            on_image=lambda image: status.update(f"{model} on {task.folder}: {image.name}"),
            on_restored=on_restored,
        )


def _eightfold(restore: Restore) -> Restore:
    return lambda image: ensemble(lambda turned, _: restore(turned), image)


def _contender(model: str, task: Task) -> Contender:
    if model == "input":
        if task.scale not in (None, 1):
            raise UsageError(f"input is the degraded image itself, of scale 1, not {task.scale}")
        if task.protocol is None:
            raise UsageError("input needs --protocol")
        return Contender(as_given, 1, "paired")
    if model == "bicubic":
        if task.scale is None:
            raise UsageError("bicubic needs --scale")
        return Contender(bicubic(task.scale), task.scale, "classical-sr")
    restorer = open_model(model, scale=task.scale, device="auto")
    targets = task.settings.targets is not None
    channels = restorer.config.channels
    fitting = default_protocol(restorer.facts.task, scale=restorer.scale, channels=channels, targets=targets)
    return Contender(lambda image: restorer(image, effort=task.effort), restorer.scale, fitting)


def _rival(model: str, first: Contender, task: Task) -> Contender:
    """What is compared with the first: the same protocol distances both, so it must be of the same scale."""
    if model in ("input", "bicubic"):
        return _contender(model, replace(task, scale=first.scale, protocol=task.protocol or first.protocol))
    rival = _contender(model, replace(task, scale=None))
    if rival.scale != first.scale:
        raise UsageError(f"--against {model} is of scale {rival.scale}, {task.model} of scale {first.scale}")
    return rival


def _protocol(contender: Contender, task: Task) -> EvaluationProtocol:
    name = task.protocol or contender.protocol
    if name not in NAMES:
        raise UsageError(f"--protocol {name!r} must be one of {', '.join(NAMES)}")
    try:
        return choose_protocol(name, scale=contender.scale, settings=task.settings)
    except ValueError as error:
        raise UsageError(str(error)) from error


def load_distances(lpips: Path | None, dists: Path | None) -> dict[str, Distance]:
    """The distances whose weights are given, by the name of their score."""
    distances: dict[str, Distance] = {}
    if lpips is not None:
        distances["lpips"] = load_lpips(lpips)
    if dists is not None:
        distances["dists"] = load_dists(dists)
    return distances


def ending_pair(text: str) -> tuple[str, str]:
    """The two endings of "degraded,target". Raises UsageError for anything else."""
    parts = text.split(",")
    if len(parts) != 2 or parts[0] == parts[1]:
        raise UsageError(f"--suffixes {text!r} must be two different endings with a comma between")
    return parts[0], parts[1]


def _how(model: str, task: Task) -> str:
    """The model's name with what was asked of it beyond a plain run."""
    effort = "" if task.effort == Task.effort else f", effort {task.effort:g}"
    return f"{model}{effort}{', mean of eight turns' * task.ensemble}"


def _table(report: Report, model: str) -> Table:
    table = Table(title=f"{model} on {report.folder}, {report.protocol}")
    table.add_column("image")
    present = report.mean().present()
    for metric in present:
        table.add_column(COLUMNS[metric][0], justify="right")
    for image in report.images:
        table.add_row(image.name, *_cells(image.scores))
    table.add_section()
    table.add_row("mean", *_cells(report.mean()))
    if len(report.images) > 1:
        table.add_row("95 % of the mean", *(_span(report, metric) for metric in present))
    return table


def _comparison_table(compared: tuple[PairedTest, ...], model: str, other: str) -> Table:
    table = Table(title=f"{model} minus {other}, paired by image")
    table.add_column("score")
    for column in ("mean difference", "95 %", "better / worse", "Wilcoxon p", "sign-flip p"):
        table.add_column(column, justify="right")
    for each in compared:
        name, form = COLUMNS[each.metric]
        form = f"+{form}"
        span = "" if each.interval is None else f"{each.interval.low:{form}} {each.interval.high:{form}}"
        chances = ("" if p is None else f"{p:.4f}" for p in (each.wilcoxon, each.sign_flip))
        counts = f"{each.better} / {each.worse} of {each.images}"
        table.add_row(name, f"{each.difference:{form}}", span, counts, *chances)
    return table


def _cells(scores: Scores) -> tuple[str, ...]:
    return tuple(f"{value:{COLUMNS[name][1]}}" for name, value in scores.present().items())


def _span(report: Report, metric: str) -> str:
    interval = report.interval(metric)
    form = COLUMNS[metric][1]
    return "" if interval is None else f"{interval.low:{form}} {interval.high:{form}}"
