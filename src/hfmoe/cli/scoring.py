"""The work of `hfmoe evaluate`: a model's scores on a folder, as a table and as JSON."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from hfmoe.cli.errors import UsageError
from hfmoe.cli.reports import check_report, write_report
from hfmoe.cli.restoring import open_model
from hfmoe.evaluate.protocol import ClassicalSR, Restore, Scores, bicubic
from hfmoe.evaluate.report import Report, evaluate


def score(model: str, folder: Path, *, scale: int | None, file: Path | None) -> None:
    """Evaluate model on folder, print the table, write the JSON."""
    if file is not None:
        check_report(file)
    restore, scale = _restorer(model, scale)
    protocol = ClassicalSR(scale)
    with Console(stderr=True).status(f"{model} on {folder}") as status:
        report = evaluate(
            restore,
            folder,
            protocol=protocol,
            on_image=lambda image: status.update(f"{model} on {folder}: {image.name}"),
        )
    Console().print(_table(report, model))
    if file is not None:
        write_report(file, report.to_json())


def _restorer(model: str, scale: int | None) -> tuple[Restore, int]:
    if model != "bicubic":
        restorer = open_model(model, scale=scale, device="auto")
        return restorer, restorer.scale
    if scale is None:
        raise UsageError("bicubic needs --scale")
    return bicubic(scale), scale


def _table(report: Report, model: str) -> Table:
    table = Table(title=f"{model} on {report.folder}, {report.protocol}")
    table.add_column("image")
    for column in ("PSNR Y", "SSIM Y", "PSNR RGB", "SSIM RGB"):
        table.add_column(column, justify="right")
    for image in report.images:
        table.add_row(image.name, *_cells(image.scores))
    table.add_section()
    table.add_row("mean", *_cells(report.mean()))
    return table


def _cells(scores: Scores) -> tuple[str, ...]:
    return (
        f"{scores.psnr_y:.2f}",
        f"{scores.ssim_y:.4f}",
        f"{scores.psnr_rgb:.2f}",
        f"{scores.ssim_rgb:.4f}",
    )
