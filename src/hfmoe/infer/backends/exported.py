"""Exported files opened: a `Restorer` of an ONNX file, ours or another's, or one for OpenVINO."""

from pathlib import Path
from typing import Any

import numpy as np

from hfmoe.infer.backends.external import open_external_onnx
from hfmoe.infer.backends.graphs import RESTORED, Graph, Runtime, first_line, read_inputs
from hfmoe.infer.restorer import Restorer
from hfmoe.infer.tiles import tile_geometry
from hfmoe.models.header import METADATA_KEY, WeightsError, file_sha256
from hfmoe.runtime.machine import default_threads

SUFFIX = {"onnx": ".onnx", "openvino": ".xml"}
"""Suffix of a runtime's files."""


def is_exported(path: str | Path) -> bool:
    """Return whether a name is that of an exported file, by its suffix."""
    return Path(path).suffix.lower() in SUFFIX.values()


def runtime_of(path: str | Path) -> str:
    """Name of the runtime that an exported file is for."""
    return next(name for name, suffix in SUFFIX.items() if suffix == Path(path).suffix.lower())


def open_exported(path: str | Path, *, threads: int | None = None) -> Restorer:
    """Open a file that `hfmoe export` wrote as ONNX or for OpenVINO, or another's ONNX file, on the CPU.

    threads: as many as torch would use by default. Raises WeightsError when the file cannot be used,
    ImportError when its runtime is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: no such file")
    threads, identity = threads or default_threads(), exported_digest(path)
    if runtime_of(path) == "openvino":
        from hfmoe.infer.backends.openvino import open_openvino

        graph = open_openvino(path, threads=threads)
    else:
        session = open_session(path, threads=threads)
        if METADATA_KEY not in session.get_modelmeta().custom_metadata_map:
            return open_external_onnx(path, session, identity=identity)
        graph = own_graph(path, session)
    return Restorer(Runtime(graph, identity=identity), tile_geometry(graph.header.config), graph.header.facts)


def exported_digest(path: str | Path) -> str:
    """The sha256 of an exported file and of the weights beside it, if they are in a file of their own."""
    beside = Path(path).with_suffix(".bin")
    return file_sha256(path) + (file_sha256(beside) if beside.is_file() else "")


def open_session(path: Path, *, threads: int) -> Any:
    """Open an ONNX file in its runtime. Raises WeightsError when it is none."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # errors are raised
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise WeightsError(f"{path} is damaged or not an ONNX file ({first_line(error)})") from error


def own_graph(path: Path, session: Any) -> Graph:
    """Return the graph of a file that `hfmoe export` wrote. Raises WeightsError for a damaged header."""

    def run(feeds: dict[str, np.ndarray]) -> np.ndarray:
        try:
            return np.asarray(session.run([RESTORED], feeds)[0])
        except Exception as error:  # its own kinds, none of which is a RuntimeError
            raise RuntimeError(f"ONNX Runtime: {error}") from error

    inputs = [place.name for place in session.get_inputs()]
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    return Graph(run, tuple(inputs), read_inputs(path, inputs=inputs, text=text))
