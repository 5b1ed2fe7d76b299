"""OpenVINO's own files (an .xml beside a .bin), run on the CPU."""

from pathlib import Path

import numpy as np
import openvino

from hfmoe.infer.backends.graphs import Graph, first_line, make_graph
from hfmoe.models.weights import METADATA_KEY, WeightsError


def open_openvino(path: Path, *, threads: int) -> Graph:
    """The graph of an .xml file. Raises WeightsError when the file is not one that `hfmoe export` wrote."""
    if not path.with_suffix(".bin").is_file():
        raise WeightsError(f"{path} needs its weights beside it: no {path.with_suffix('.bin').name}")
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    core = openvino.Core()
    try:
        model = core.read_model(str(path))
        compiled = core.compile_model(model, "CPU", settings)
    except Exception as error:
        raise WeightsError(f"{path} is damaged or not an OpenVINO file ({first_line(error)})") from error
    request = compiled.create_infer_request()

    def run(feeds: dict[str, np.ndarray]) -> np.ndarray:
        request.infer(feeds, share_inputs=True)
        return request.get_output_tensor(0).data.copy()

    inputs = [place.get_any_name() for place in compiled.inputs]
    text = model.get_rt_info([METADATA_KEY]).astype(str) if model.has_rt_info([METADATA_KEY]) else None
    return make_graph(path, run, inputs=inputs, text=text)
