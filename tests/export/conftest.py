"""Exports of a tiny network, made once; in a process of its own, because shape checks do not know symbols."""

import subprocess
import sys
from pathlib import Path

import pytest

from hfmoe.export.files import SUFFIX

CODE = """
import sys
from pathlib import Path
from hfmoe.export.files import Order, export_model
from hfmoe.models.weights import load_weights

weights, *jobs = sys.argv[1:]
loaded = load_weights(weights)
for job in jobs:
    form, precision, calibration, path = job.split("|")
    order = Order(form, precision, Path(calibration) if calibration else None)
    export_model(loaded, Path(path), order, source="0" * 64)
"""


def export_apart(weights: Path, *jobs: tuple[str, str, str, Path]) -> None:
    """Export weights in another process; a job is format, precision, calibration folder or "", path."""
    command = [sys.executable, "-c", CODE, str(weights), *("|".join(map(str, job)) for job in jobs)]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr


@pytest.fixture(scope="session")
def exported(tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("exported")
    paths = {name: folder / f"tiny{suffix}" for name, suffix in SUFFIX.items()}
    export_apart(tiny_weights, *((name, "fp32", "", path) for name, path in paths.items()))
    return paths


@pytest.fixture(scope="session")
def apart():
    """`export_apart`, for tests that need an export of their own."""
    return export_apart
