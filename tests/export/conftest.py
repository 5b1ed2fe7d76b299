"""One export of a tiny network in each format, made once: it is what takes the time."""

from pathlib import Path

import pytest

from hfmoe.export.files import SUFFIX, Order, export_model
from hfmoe.models.weights import load_weights


@pytest.fixture(scope="session")
def exported(tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("exported")
    loaded = load_weights(tiny_weights)
    paths = {name: folder / f"tiny{suffix}" for name, suffix in SUFFIX.items()}
    for name, path in paths.items():
        export_model(loaded, path, Order(name), source="0" * 64)
    return paths
