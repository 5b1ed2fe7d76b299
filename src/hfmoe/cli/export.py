"""`hfmoe export`: a model written for another runtime, and checked against eager."""

import sys
from dataclasses import asdict
from json import dumps
from pathlib import Path

from rich.console import Console
from rich.table import Table

from hfmoe.cli.errors import FAILED, UsageError, complain
from hfmoe.cli.export_cache import sharpened_copy
from hfmoe.cli.output import check_report, write_report
from hfmoe.export.files import SUFFIX, Order, export_model
from hfmoe.export.verify import Check
from hfmoe.export.verify import verify as verify_file
from hfmoe.infer.backends.exported import is_exported
from hfmoe.models.header import file_sha256, find_weights
from hfmoe.models.weights import Loaded, is_external, load_weights


def export(
    model: str,
    /,
    *,
    format: str,
    precision: str = "fp32",
    sharpness: float | None = None,
    output: Path | None = None,
    calibration: Path | None = None,
    verify: bool = False,
    json: Path | None = None,
) -> int:
    """Write a model for another runtime, with batch, height and width free.

    Parameters
    ----------
    model
        A model that ships or a weights file.
    format
        onnx, openvino (an .xml and a .bin beside it) or pt2 (for torch.export.load).
    precision
        fp32, fp16 (weights in half the bytes, computed in fp32), bf16 (openvino: computed in bfloat16 where
        the processor can) or int8 (3x3 convolutions in 8 bits).
    sharpness
        Of a photo model, from 0, faithful, to 1, sharp.
    output
        The file to write; default <model>.onnx, .xml or .pt2 in this folder.
    calibration
        Folder of photos that int8 takes its ranges from.
    verify
        Run the file beside eager PyTorch at several sizes; exit status 1 when it is too far from it.
    json
        Also write what --verify finds to this file.
    """
    try:
        order = Order(format, precision, calibration)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if is_exported(model):
        raise UsageError(f"{model} is exported already; export its weights file")
    if json is not None:
        if not verify:
            raise UsageError("--json reports what --verify finds; give both")
        check_report(json)
    source = find_weights(model) if sharpness is None else sharpened_copy(model, sharpness)
    if is_external(source):
        raise UsageError(f"{model} is a network of others; those are restored with, not exported")
    loaded = load_weights(source)
    ending = "" if order.precision == "fp32" else f"-{order.precision}"
    path = output or Path(f"{loaded.facts.name}{ending}{SUFFIX[order.format]}")
    export_model(loaded, path, order, source=file_sha256(source))
    sys.stdout.write(f"{path}  {file_bytes(path) / 2**10:.0f} KiB\n")
    sys.stdout.flush()
    return _verify(loaded, path, order, weights=source, report=json) if verify else 0


def _verify(loaded: Loaded, path: Path, order: Order, *, weights: Path, report: Path | None) -> int:
    """Run the file beside eager, print and write what that finds; 1 where it is too far from it."""
    checks = verify_file(loaded, path)
    Console().print(verification_table(checks, path, order.precision, weights=weights))
    if report is not None:
        facts = {"file": str(path), "bytes": file_bytes(path), "weights_bytes": file_bytes(weights)}
        rows = [asdict(each) | {"passes": each.passes(order.precision)} for each in checks]
        write_report(report, dumps(facts | asdict(order) | {"checks": rows}, indent=2, default=str))
    failed = [each for each in checks if not each.passes(order.precision)]
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
    made = Table(title=f"{path}, {precision}, {kib}")
    for column in ("input", "largest error", "PSNR lost, dB", "eager, ms", "export, ms", "faster by", ""):
        made.add_column(column, justify="right", no_wrap=column == "input")
    for check in checks:
        made.add_row(
            f"{check.batch} x {check.height} x {check.width}",
            f"{check.error:.1e}",
            f"{check.psnr_loss:.3f}",
            f"{check.eager_ms:.1f}",
            f"{check.export_ms:.1f}",
            f"{check.speedup:.2f}",
            "" if check.passes(precision) else "too far",
        )
    return made
