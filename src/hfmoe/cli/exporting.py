"""The work of `hfmoe export`: a model written for another runtime, and checked against eager."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from hfmoe.cli.errors import FAILED, UsageError, complain
from hfmoe.cli.reports import check_report, write_report
from hfmoe.export.files import SUFFIX, Order, export_model
from hfmoe.export.verify import Check, verify
from hfmoe.infer.backends.opening import is_exported
from hfmoe.models.header import file_sha256, find_weights
from hfmoe.models.weights import load_weights


def make_order(form: str, precision: str, calibration: Path | None) -> Order:
    """What the options ask for; UsageError when they do not fit together."""
    try:
        return Order(form, precision, calibration)
    except ValueError as error:
        raise UsageError(str(error)) from error


def export_file(model: str, order: Order, *, output: Path | None, checked: bool, report: Path | None) -> int:
    """Write the file, print where it is, check it when asked to; returns the exit status."""
    if is_exported(model):
        raise UsageError(f"{model} is exported already; export its weights file")
    if report is not None:
        if not checked:
            raise UsageError("--json reports what --verify finds; give both")
        check_report(report)
    source = find_weights(model)
    loaded = load_weights(source)
    ending = "" if order.precision == "fp32" else f"-{order.precision}"
    path = output or Path(f"{loaded.facts.name}{ending}{SUFFIX[order.format]}")
    export_model(loaded, path, order, source=file_sha256(source))
    sys.stdout.write(f"{path}  {file_bytes(path) / 2**10:.0f} KiB\n")
    sys.stdout.flush()
    if not checked:
        return 0
    checks = verify(loaded, path)
    Console().print(verification_table(checks, path, order.precision, weights=source))
    if report is not None:
        facts = {"file": str(path), "bytes": file_bytes(path), "weights_bytes": file_bytes(source)}
        rows = [asdict(check) | {"passes": check.passes(order.precision)} for check in checks]
        write_report(report, json.dumps(facts | asdict(order) | {"checks": rows}, indent=2, default=str))
    failed = [check for check in checks if not check.passes(order.precision)]
    if failed:
        complain(f"{path}: {len(failed)} of {len(checks)} sizes are too far from eager for {order.precision}")
    return FAILED if failed else 0


def file_bytes(path: Path) -> int:
    """Size of a file, with the weights beside it where it is OpenVINO's."""
    beside = path.with_suffix(".bin")
    return path.stat().st_size + (beside.stat().st_size if path.suffix == ".xml" and beside.is_file() else 0)


def verification_table(checks: list[Check], path: Path, precision: str, *, weights: Path) -> Table:
    """A row for each size that was checked."""
    kib = f"{file_bytes(path) / 2**10:.0f} KiB, weights {file_bytes(weights) / 2**10:.0f} KiB"
    table = Table(title=f"{path}, {precision}, {kib}")
    for column in ("input", "largest error", "PSNR lost, dB", "eager, ms", "export, ms", "faster by", ""):
        table.add_column(column, justify="right", no_wrap=column == "input")
    for check in checks:
        table.add_row(
            f"{check.batch} x {check.height} x {check.width}",
            f"{check.error:.1e}",
            f"{check.psnr_loss:.3f}",
            f"{check.eager_ms:.1f}",
            f"{check.export_ms:.1f}",
            f"{check.speedup:.2f}",
            "" if check.passes(precision) else "too far",
        )
    return table
