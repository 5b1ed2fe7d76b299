"""`hfmoe evaluate`: a model's scores on a folder, as a table, JSON and pictures."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table
from torch import Tensor

from hfmoe.cli.errors import UsageError
from hfmoe.cli.export_cache import choose_model, open_model
from hfmoe.cli.output import check_report, table, tables, write_report
from hfmoe.evaluate.pictures import Album, check_pictures
from hfmoe.evaluate.protocols import (
    NAMES,
    EvaluationProtocol,
    ImagePair,
    ProtocolSettings,
    Restore,
    as_given,
    bicubic,
    choose_protocol,
    default_protocol,
)
from hfmoe.evaluate.report import PairedTest, Report, compare
from hfmoe.evaluate.report import evaluate as score
from hfmoe.evaluate.scores import COLUMNS, Distance, Scores, load_distances
from hfmoe.infer.restorer import mean_of_positions
from hfmoe.runtime.machine import machine


@dataclass(frozen=True)
class EvaluateOptions:
    """Options of a scoring, and places of its results.

    Parameters
    ----------
    scale
        For bicubic; else checked against the model's.
    protocol
        classical-sr, luma-sr, colour-denoise, gray-denoise, colour-jpeg, gray-jpeg, luma-jpeg (of colour
        files the Y of the papers on LIVE1), colour-photo or gray-photo (blur, noise and JPEG together),
        photo-perceptual (each image with none, mild and strong damage) or paired; by default that of the
        model's options.
    sigma
        Noise of the denoising protocols, in 8-bit levels.
    quality
        JPEG quality of the JPEG protocols.
    targets
        For paired: a folder of targets of the same names.
    suffixes
        For paired without --targets: what the names of degraded and target end in.
    effort
        0 takes the cheapest experts, 0.5 those of training, 1 the heaviest.
    sharpness
        Of a photo model, from 0, faithful, to 1, sharp.
    ensemble
        Average over the eight flips and turns of each image; eight times as slow.
    against
        Another model on the same images: mean difference, its interval, and paired tests.
    lpips
        Weights of LPIPS (python -m hfmoe.metrics.weights makes the file); adds that score.
    dists
        Weights of DISTS; adds that score.
    niqe
        Statistics of NIQE, which needs no truth; adds that score.
    pictures
        A folder for the worst crops and an error map of each image.
    json
        Also write the scores of each image to this file.
    """

    scale: int | None = None
    protocol: str | None = None
    sigma: float = 25.0
    quality: int = 10
    targets: Path | None = None
    suffixes: str = "_real,_mean"
    effort: float = 0.5
    sharpness: float | None = None
    ensemble: bool = False
    against: str | None = None
    lpips: Path | None = None
    dists: Path | None = None
    niqe: Path | None = None
    pictures: Path | None = None
    json: Path | None = None

    def settings(self) -> ProtocolSettings:
        """The settings of protocols."""
        return ProtocolSettings(self.sigma, self.quality, self.targets, ending_pair(self.suffixes))


@dataclass(frozen=True)
class Contender:
    """A restorer of a scale, and the protocol that fits its task."""

    restore: Restore
    scale: int
    protocol: str


def evaluate(
    model: str,
    folder: Path,
    /,
    *,
    options: Annotated[EvaluateOptions, Parameter(name="*")] = EvaluateOptions(),  # noqa: B008 (frozen)
) -> None:
    """Score a model on a folder of photos: PSNR and SSIM, on luma and on all channels.

    Parameters
    ----------
    model
        A model that ships, a weights file, bicubic (which needs --scale), or input: the degraded image.
    folder
        Target photos, which the protocol degrades itself; for paired, the degraded ones.
    """
    settings = options.settings()
    if options.json is not None:
        check_report(options.json)
    if options.pictures is not None:
        check_pictures(options.pictures)
    distances = load_distances(options.lpips, options.dists, options.niqe)
    first = _contender(model, options)
    protocol = _protocol(first, options, settings)
    second = None if options.against is None else _rival(model, first, options)
    album = None if options.pictures is None else Album(options.pictures, model, border=protocol.border)
    report = _run(model, folder, first, options, protocol, distances, on_restored=album and album.add)
    if album is not None:
        album.finish()
    tables().print(_table(report, _how(model, options)))
    facts = {"model": model, "effort": options.effort, "ensemble": options.ensemble, **report.to_dict()}
    if second is not None and options.against is not None:
        other = _run(options.against, folder, second, options, protocol, distances)
        compared = compare(report, other)
        tables().print(_comparison_table(compared, model, options.against))
        facts["against"] = {"model": options.against, **other.to_dict()}
        facts["differences"] = [each.to_dict() for each in compared]
    if options.json is not None:
        facts["machine"] = machine().to_dict()
        write_report(options.json, json.dumps(facts, indent=2, allow_nan=False))


def _run(
    model: str,
    folder: Path,
    contender: Contender,
    options: EvaluateOptions,
    protocol: EvaluationProtocol,
    distances: dict[str, Distance],
    on_restored: Callable[[ImagePair, Tensor], None] | None = None,
) -> Report:
    with Console(stderr=True).status(f"{model} on {folder}") as status:
        return score(
            _eightfold(contender.restore) if options.ensemble else contender.restore,
            folder,
            protocol=protocol,
            distances=distances,
            on_image=lambda image: status.update(f"{model} on {folder}: {image.name}"),
            on_restored=on_restored,
        )


def _eightfold(restore: Restore) -> Restore:
    return lambda image: mean_of_positions(lambda turned, _: restore(turned), image)


def _contender(model: str, options: EvaluateOptions) -> Contender:
    if model == "input":
        if options.scale not in (None, 1):
            raise UsageError(f"input is the degraded image itself, of scale 1, not {options.scale}")
        if options.protocol is None:
            raise UsageError("input needs --protocol")
        return Contender(as_given, 1, "paired")
    if model == "bicubic":
        if options.scale is None:
            raise UsageError("bicubic needs --scale")
        return Contender(bicubic(options.scale), options.scale, "classical-sr")
    named = choose_model(model, scale=options.scale, sharpness=options.sharpness)
    restorer = open_model(named, scale=options.scale, device="auto")
    targets = options.targets is not None
    channels = restorer.channels
    fitting = default_protocol(restorer.facts.task, scale=restorer.scale, channels=channels, targets=targets)
    return Contender(lambda image: restorer(image, effort=options.effort), restorer.scale, fitting)


def _rival(model: str, first: Contender, options: EvaluateOptions) -> Contender:
    """The restorer that is compared with the first, by the same protocol and so of the same scale."""
    other = str(options.against)
    if other in ("input", "bicubic"):
        return _contender(
            other, replace(options, scale=first.scale, protocol=options.protocol or first.protocol)
        )
    rival = _contender(other, replace(options, scale=None))
    if rival.scale != first.scale:
        raise UsageError(f"--against {other} is of scale {rival.scale}, {model} of scale {first.scale}")
    return rival


def _protocol(
    contender: Contender, options: EvaluateOptions, settings: ProtocolSettings
) -> EvaluationProtocol:
    name = options.protocol or contender.protocol
    if name not in NAMES:
        raise UsageError(f"--protocol {name!r} must be one of {', '.join(NAMES)}")
    try:
        return choose_protocol(name, scale=contender.scale, settings=settings)
    except ValueError as error:
        raise UsageError(str(error)) from error


def ending_pair(text: str) -> tuple[str, str]:
    """The two endings of "degraded,target". Raises UsageError for anything else."""
    parts = text.split(",")
    if len(parts) != 2 or parts[0] == parts[1]:
        raise UsageError(f"--suffixes {text!r} must be two different endings with a comma between")
    return parts[0], parts[1]


def _how(model: str, options: EvaluateOptions) -> str:
    """The model's name with what was asked of it beyond a plain run."""
    effort = "" if options.effort == EvaluateOptions.effort else f", effort {options.effort:g}"
    return f"{model}{effort}{', mean of eight turns' * options.ensemble}"


def _table(report: Report, model: str) -> Table:
    present = report.mean().present()
    head = ["image", *(COLUMNS[metric][0] for metric in present)]
    rows = ([image.name, *_cells(image.scores)] for image in report.images)
    found = table(f"{model} on {report.folder}, {report.protocol}", head, rows)
    found.add_section()
    for name, scores in report.groups().items():
        found.add_row(f"mean, {name}", *_cells(scores))
    found.add_row("mean", *_cells(report.mean()))
    if len(report.images) > 1:
        found.add_row("95 % of the mean", *(_span(report, metric) for metric in present))
    return found


def _comparison_table(compared: tuple[PairedTest, ...], model: str, other: str) -> Table:
    head = ("score", "mean difference", "95 %", "better / worse", "Wilcoxon p", "sign-flip p")
    found = table(f"{model} minus {other}, paired by image", head)
    for each in compared:
        name, form = COLUMNS[each.metric]
        form = f"+{form}"
        span = "" if each.interval is None else f"{each.interval.low:{form}} {each.interval.high:{form}}"
        chances = ("" if p is None else f"{p:.4f}" for p in (each.wilcoxon, each.sign_flip))
        counts = f"{each.better} / {each.worse} of {each.images}"
        found.add_row(name, f"{each.difference:{form}}", span, counts, *chances)
    return found


def _cells(scores: Scores) -> tuple[str, ...]:
    return tuple(f"{value:{COLUMNS[name][1]}}" for name, value in scores.present().items())


def _span(report: Report, metric: str) -> str:
    interval = report.interval(metric)
    form = COLUMNS[metric][1]
    return "" if interval is None else f"{interval.low:{form}} {interval.high:{form}}"
