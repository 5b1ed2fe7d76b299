"""A `Restorer` of an exported file, by its suffix."""

from pathlib import Path

import torch

from hfmoe.infer.backends.graphs import Graph
from hfmoe.infer.restorer import Restorer
from hfmoe.models.weights import WeightsError

SUFFIXES = {".onnx": "onnx", ".xml": "openvino"}
"""Runtime of a file's suffix."""


def is_exported(path: str | Path) -> bool:
    """Whether a name is that of an exported file, by its suffix."""
    return Path(path).suffix.lower() in SUFFIXES


def open_exported(path: str | Path, *, threads: int | None = None) -> Restorer:
    """Open a file that `hfmoe export` wrote as ONNX or for OpenVINO, on the CPU.

    threads: as many as torch uses by default. Raises WeightsError when the file cannot be used, ImportError
    when its runtime is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: no such file")
    graph = _open(path, threads or torch.get_num_threads())
    return Restorer(graph, graph.header.config, graph.header.facts, torch.device("cpu"))


def _open(path: Path, threads: int) -> Graph:
    if SUFFIXES[path.suffix.lower()] == "onnx":
        from hfmoe.infer.backends.onnx import open_onnx

        return open_onnx(path, threads=threads)
    from hfmoe.infer.backends.openvino import open_openvino

    return open_openvino(path, threads=threads)
