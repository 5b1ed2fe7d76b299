"""ONNX files, run by ONNX Runtime on the CPU."""

from pathlib import Path

import numpy as np
import onnxruntime

from hfmoe.infer.backends.graphs import RESTORED, Graph, first_line, read_inputs
from hfmoe.models.header import METADATA_KEY, WeightsError


def open_onnx(path: Path, *, threads: int) -> Graph:
    """The graph of an ONNX file. Raises WeightsError when the file is not one that `hfmoe export` wrote."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # errors are raised
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise WeightsError(f"{path} is damaged or not an ONNX file ({first_line(error)})") from error

    def run(feeds: dict[str, np.ndarray]) -> np.ndarray:
        try:
            return np.asarray(session.run([RESTORED], feeds)[0])
        except Exception as error:  # its own kinds, none of which is a RuntimeError
            raise RuntimeError(f"ONNX Runtime: {error}") from error

    inputs = [place.name for place in session.get_inputs()]
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    return Graph(run, tuple(inputs), read_inputs(path, inputs=inputs, text=text))
