"""Exported copies of models, made at first use and kept; torch is imported only to make one."""

import os
import sys
from pathlib import Path

from hfmoe.cli.errors import UsageError
from hfmoe.infer.backends.opening import SUFFIX, is_exported, runtime_of
from hfmoe.models.header import file_sha256, find_weights
from hfmoe.runtime.machine import code_version


def exported_copy(model: str, backend: str) -> Path:
    """The cached export of a model for a backend ("onnx" or "openvino"), made when it is not there yet.

    It lies in $XDG_CACHE_HOME/hfmoe (~/.cache/hfmoe) under the hash of the weights and of this code.
    """
    if is_exported(model):
        if runtime_of(model) != backend:
            raise UsageError(f"--backend {backend}: {model} is a file for {runtime_of(model)}")
        return Path(model)
    source = find_weights(model)
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hfmoe"
    sha256 = file_sha256(source)
    path = folder / f"{sha256[:16]}-{code_version()[:16]}{SUFFIX[backend]}"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        sys.stderr.write(f"hfmoe: exporting {model} for {backend}, once; kept as {path}\n")
        _export(source, path, backend, sha256)
    return path


def _export(source: Path, path: Path, backend: str, sha256: str) -> None:
    from hfmoe.export.files import Order, export_model
    from hfmoe.models.weights import load_weights

    export_model(load_weights(source), path, Order(backend), source=sha256)
