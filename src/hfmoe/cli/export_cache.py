"""The model that a command names: shipped, a file, or an export of either, made at first use and kept.

torch is imported only to make one.
"""

import os
import sys
from pathlib import Path

from hfmoe.cli.errors import UsageError
from hfmoe.infer.api import check_scale, load, model_of_scale
from hfmoe.infer.backends.exported import SUFFIX, is_exported, runtime_of
from hfmoe.infer.restorer import Restorer
from hfmoe.models.header import SUFFIX as WEIGHTS_SUFFIX
from hfmoe.models.header import file_sha256, find_weights
from hfmoe.runtime.machine import code_version

BACKENDS = ("auto", "torch", "onnx", "openvino")


def choose_model(
    model: str | None,
    *,
    scale: float | int | None,
    backend: str = "auto",
    sharpness: float | None = None,
) -> str:
    """The model's name or file; of none, the shipped one of the scale. UsageError for what cannot be.

    sharpness: between the ends of a photo model, of which None takes the one that is named.
    backend: "auto" runs weights in torch and exported files in their runtime; "torch", "onnx" and "openvino"
    ask for one, the last two with an export of their own where `model` is weights.
    """
    if backend not in BACKENDS:
        raise UsageError(f"--backend {backend!r} must be one of {', '.join(BACKENDS)}")
    if model is None:
        try:
            model = model_of_scale(scale)
        except ValueError as error:
            raise UsageError(f"--{error}") from error
    if sharpness is not None:
        model = str(sharpened_copy(model, sharpness))
    if backend == "torch" and is_exported(model):
        raise UsageError(f"--backend torch: {model} is an exported file")
    return str(exported_copy(model, backend)) if backend in ("onnx", "openvino") else model


def open_model(model: str, *, scale: float | int | None, device: str) -> Restorer:
    """Load a model. UsageError when its scale is another, or smaller than a fraction that is asked for."""
    restorer = load(model, device=device)
    try:
        check_scale(restorer, scale, model)
    except ValueError as error:
        raise UsageError(f"--{error}") from error
    return restorer


def exported_copy(model: str, backend: str) -> Path:
    """The cached export of a model for a backend ("onnx" or "openvino"), made when it is not there yet.

    It lies in $XDG_CACHE_HOME/hfmoe (~/.cache/hfmoe) under the hash of the weights and of this code.
    """
    if is_exported(model):
        if runtime_of(model) != backend:
            raise UsageError(f"--backend {backend}: {model} is a file for {runtime_of(model)}")
        return Path(model)
    source = find_weights(model)
    folder = cache_folder()
    sha256 = file_sha256(source)
    path = folder / f"{sha256[:16]}-{code_version()[:16]}{SUFFIX[backend]}"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        sys.stderr.write(f"hfmoe: exporting {model} for {backend}, once; kept as {path}\n")
        _export(source, path, backend, sha256)
    return path


def cache_folder() -> Path:
    """Where copies are kept that a command makes of models."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hfmoe"


def sharpened_copy(model: str, sharpness: float) -> Path:
    """The weights between the ends of a photo model's dial, kept like an export; of an end, its own file."""
    from hfmoe.models.sharpness import check_sharpness, find_ends, load_sharpened
    from hfmoe.models.weights import save_weights

    try:
        check_sharpness(sharpness)
    except ValueError as error:
        raise UsageError(f"--{error}") from error
    ends = find_ends(model)
    if sharpness in (0, 1):
        return ends[int(sharpness)]
    both = "".join(file_sha256(path)[:8] for path in ends)
    path = cache_folder() / f"{ends.faithful.stem}-{sharpness:g}-{both}{WEIGHTS_SUFFIX}"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        mixed = load_sharpened(model, sharpness)
        save_weights(path, mixed.network, mixed.facts)
    return path


def _export(source: Path, path: Path, backend: str, sha256: str) -> None:
    from hfmoe.export.files import Order, export_model
    from hfmoe.models.weights import is_external, load_weights

    if is_external(source):
        raise UsageError(f"--backend {backend}: {source} is a network of others; those run in torch")
    export_model(load_weights(source), path, Order(backend), source=sha256)
