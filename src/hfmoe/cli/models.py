"""`hfmoe info` and `hfmoe models`: what networks cost, and which ship."""

import re
import time
from dataclasses import asdict
from json import dumps
from pathlib import Path

import torch
from rich.table import Column, Table

from hfmoe.cli.errors import UsageError
from hfmoe.cli.output import check_report, tables, write_report
from hfmoe.infer.eager import make_restorer
from hfmoe.infer.measure import Measurement, describe, measure
from hfmoe.infer.restorer import Restorer
from hfmoe.models.cost import MultiplyAdds, Parameters, count_parameters, multiply_adds
from hfmoe.models.header import WeightsError, file_sha256, shipped
from hfmoe.models.weights import load_weights, read_header

LARGEST_SIDE = 8192
PURPOSES = {
    "sr": "undoes bicubic shrinking (benchmarks, clean thumbnails)",
    "denoise": "removes noise",
    "jpeg": "removes JPEG artefacts",
    "photo": "cleans worn photos: noise, blur, JPEG",
}
"""Purpose of a model, by its task."""
MAIN_SCORES = ("Set5 psnr_y", "CBSD68 25 psnr_rgb", "classic5 10 psnr_rgb", "B100 psnr_rgb")
"""The one score that a line shows: the first of these that the model has."""


def info(model: str, /, *, size: str = "256x256", json: Path | None = None) -> None:
    """Show what a model or preset costs: parameters, multiply-adds, latency, peak memory.

    Parameters
    ----------
    model
        A model that ships, a weights file, or a preset such as tiny-x2.
    size
        Height and width of the input, in pixels.
    json
        Also write the figures to this file.
    """
    if json is not None:
        check_report(json)
    height, width = _parse_size(size)
    config = describe(model).config
    parameters, work = count_parameters(config), multiply_adds(config, height, width)
    found = measure(model, height=height, width=width, threads=torch.get_num_threads())
    facts = {
        "model": model,
        "height": height,
        "width": width,
        "parameters": parameters.total,
        "parameters_active": parameters.active,
        "multiply_adds": work.dense,
        "multiply_adds_expected": work.expected,
        **asdict(found),
    }
    tables().print(_info_table(model, parameters, work, found, size=f"{height} x {width}"))
    if json is not None:
        write_report(json, dumps(facts, indent=2))


def models(*, scores: bool = False) -> None:
    """List the models that ship with the package.

    Parameters
    ----------
    scores
        All scores of each, with its file and its digest.
    """
    what = Column("scores") if scores else Column("for")
    table = Table("model", what, "scale", "parameters", *([] if scores else ["s a megapixel", "score"]))
    if scores:
        table.add_column("sha256", no_wrap=True)
        table.add_column("file", overflow="fold")
    for name, path in shipped().items():
        try:
            table.add_row(name, *(_full_row(path) if scores else _row(path)))
        except WeightsError as error:
            table.add_row(name, str(error))
    tables().print(table)


def _row(path: Path) -> tuple[str, ...]:
    """Purpose, scale, size, time and one score of a model."""
    loaded = load_weights(path)
    config, facts = loaded.config, loaded.facts
    best = next((key for key in MAIN_SCORES if key in facts.scores), next(iter(facts.scores), None))
    score = "" if best is None else f"{best} {facts.scores[best]:.4g}"
    seconds = f"{seconds_a_megapixel(make_restorer(loaded, device='cpu')):.2g}"
    size = f"{count_parameters(config).total:,}"
    purpose = PURPOSES[facts.task] + ", the sharp end" * facts.name.endswith("-sharp")
    return purpose, f"x{config.scale}", size, seconds, score


def _full_row(path: Path) -> tuple[str, ...]:
    config, facts, _ = read_header(path)
    scores = "\n".join(f"{key} {value:.4g}" for key, value in facts.scores.items())
    total = f"{count_parameters(config).total:,}"
    return scores, f"x{config.scale}", total, file_sha256(path)[:12], str(path)


def seconds_a_megapixel(restorer: Restorer) -> float:
    """Return the seconds that a megapixel of the result takes on this machine, by the faster of two runs."""
    side = 256 // restorer.scale // 64 * 64  # nothing is padded
    image = torch.rand(1, restorer.channels, side, side, generator=torch.Generator().manual_seed(0))

    def run() -> float:
        start = time.perf_counter()
        restorer(image, tile="off")
        return time.perf_counter() - start

    run()
    return min(run(), run()) * 1e6 / (side * restorer.scale) ** 2


def _info_table(
    model: str, parameters: Parameters, work: MultiplyAdds, found: Measurement, *, size: str
) -> Table:
    how = f"median of {found.runs} runs, {found.threads} threads, {found.device}"
    table = Table(title=f"{model}, input {size}", show_header=False)
    table.add_row("parameters", f"{parameters.total:,}")
    table.add_row("  active for a pixel", f"{parameters.active:,}")
    table.add_row("multiply-adds, heaviest expert", f"{work.dense / 1e9:.2f} G")
    table.add_row("  if loads follow 1 / cost", f"{work.expected / 1e9:.2f} G")
    table.add_row("latency", f"{found.latency_ms:.0f} ms ({how})")
    table.add_row("peak memory", f"{found.peak_mib:.0f} MiB above the process at rest")
    return table


def _parse_size(size: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,5})[xX](\d{1,5})", size)
    sides = (int(match[1]), int(match[2])) if match else (0, 0)
    if not all(1 <= side <= LARGEST_SIDE for side in sides):
        raise UsageError(f"--size {size!r} must be HEIGHTxWIDTH, each from 1 to {LARGEST_SIDE}")
    return sides
