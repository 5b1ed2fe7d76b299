"""A `Restorer` of an exported file, by its suffix."""

from pathlib import Path

from hfmoe.infer.backends.graphs import Graph, Runtime
from hfmoe.infer.restorer import Restorer
from hfmoe.models.header import WeightsError, file_sha256
from hfmoe.runtime.machine import default_threads

SUFFIX = {"onnx": ".onnx", "openvino": ".xml"}
"""Suffix of a runtime's files."""


def is_exported(path: str | Path) -> bool:
    """Whether a name is that of an exported file, by its suffix."""
    return Path(path).suffix.lower() in SUFFIX.values()


def runtime_of(path: str | Path) -> str:
    """Name of the runtime that an exported file is for."""
    return next(name for name, suffix in SUFFIX.items() if suffix == Path(path).suffix.lower())


def open_exported(path: str | Path, *, threads: int | None = None) -> Restorer:
    """Open a file that `hfmoe export` wrote as ONNX or for OpenVINO, on the CPU.

    threads: as many as torch would use by default. Raises WeightsError when the file cannot be used,
    ImportError when its runtime is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: no such file")
    graph = _open(path, threads or default_threads())
    runtime = Runtime(graph, identity=exported_digest(path))
    return Restorer(runtime, graph.header.config, graph.header.facts)


def exported_digest(path: str | Path) -> str:
    """The sha256 of an exported file and of the weights beside it, if they are in a file of their own."""
    beside = Path(path).with_suffix(".bin")
    return file_sha256(path) + (file_sha256(beside) if beside.is_file() else "")


def _open(path: Path, threads: int) -> Graph:
    if runtime_of(path) == "onnx":
        from hfmoe.infer.backends.onnx import open_onnx

        return open_onnx(path, threads=threads)
    from hfmoe.infer.backends.openvino import open_openvino

    return open_openvino(path, threads=threads)
