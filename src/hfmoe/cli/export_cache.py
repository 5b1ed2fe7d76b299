"""The model that a command names: shipped, a file, or an export of either, made at first use and kept.

torch is imported only to make one.
"""

import os
import sys
from pathlib import Path

from hfmoe.cli.errors import UsageError
from hfmoe.infer.api import DEFAULT_MODEL, load
from hfmoe.infer.backends.exported import SUFFIX, is_exported, runtime_of
from hfmoe.infer.restorer import Restorer
from hfmoe.models.header import file_sha256, find_weights, shipped
from hfmoe.runtime.machine import code_version

BACKENDS = ("auto", "torch", "onnx", "openvino")
CLEANER = "tiny-photo-x1"
"""The model of scale 1 when none is named: it is for photos as they are, whatever is wrong with them."""


def choose_model(model: str | None, *, scale: int | None, backend: str = "auto") -> str:
    """The model's name or file; of none, the nano of the scale. UsageError for what cannot be.

    backend: "auto" runs weights in torch and exported files in their runtime; "torch", "onnx" and "openvino"
    ask for one, the last two with an export of their own where `model` is weights.
    """
    if backend not in BACKENDS:
        raise UsageError(f"--backend {backend!r} must be one of {', '.join(BACKENDS)}")
    if scale is not None and scale not in (1, 2, 3, 4):
        raise UsageError(f"--scale {scale} must be 1, 2, 3 or 4")
    if model is None:
        model = DEFAULT_MODEL if scale is None else _shipped_of(scale)
    if backend == "torch" and is_exported(model):
        raise UsageError(f"--backend torch: {model} is an exported file")
    return str(exported_copy(model, backend)) if backend in ("onnx", "openvino") else model


def open_model(model: str, *, scale: int | None, device: str) -> Restorer:
    """Load a model. UsageError when its scale is another."""
    restorer = load(model, device=device)
    if scale not in (None, restorer.scale):
        raise UsageError(f"--scale {scale}: {model} is a model of scale {restorer.scale}")
    return restorer


def _shipped_of(scale: int) -> str:
    name, known = CLEANER if scale == 1 else f"nano-x{scale}", shipped()
    if name not in known:
        raise UsageError(
            f"--scale {scale}: no model of that scale ships ({', '.join(known)} do); give a --model"
        )
    return name


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
