"""Where ONNX Runtime and OpenVINO spend a run: milliseconds by kind of operator, the least of several runs.

An operator that takes longer than a time slice is interrupted on a busy machine: its least is then too long.
"""

import json
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnxruntime
import openvino

from hfmoe.infer.backends.graphs import EFFORT, IMAGE

RUNS = 20
KINDS = 12
"""Kinds of operator that are printed, the longest first."""


def onnx_operators(path: Path, image: np.ndarray) -> str:
    """One line for an ONNX file, from ONNX Runtime's own profile."""
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        feeds = _feeds(image, [place.name for place in session.get_inputs()])
        for _ in range(RUNS):
            session.run(None, feeds)
        events = json.loads(Path(session.end_profiling()).read_text())
    ran = [event for event in events if event["name"].endswith("_kernel_time")]
    return _line(path, ((event["name"], event["args"]["op_name"], event["dur"] / 1e3) for event in ran))


def openvino_operators(path: Path, image: np.ndarray) -> str:
    """One line for an OpenVINO file compiled for the image's size, from the runtime's counters."""
    core = openvino.Core()
    model = core.read_model(str(path))
    names = [place.get_any_name() for place in model.inputs]
    model.reshape({IMAGE: list(image.shape)})
    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32", "PERF_COUNT": True}
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    ran = []
    for _ in range(RUNS):
        request.infer(_feeds(image, names))
        for each in request.profiling_info:
            ran.append((each.node_name, each.node_type, 1e3 * each.real_time.total_seconds()))
    return _line(path, ran)


def _feeds(image: np.ndarray, names: Iterable[str]) -> dict[str, np.ndarray]:
    known = {IMAGE: np.ascontiguousarray(image), EFFORT: np.array(0.5, np.float32)}
    return {name: known[name] for name in names}


def _line(path: Path, ran: Iterable[tuple[str, str, float]]) -> str:
    """The sums by kind of the least milliseconds of each operator."""
    least: dict[tuple[str, str], float] = {}
    for name, kind, taken in ran:
        least[name, kind] = min(taken, least.get((name, kind), taken))
    kinds: dict[str, float] = defaultdict(float)
    for (_, kind), taken in least.items():
        kinds[kind] += taken
    longest = sorted(kinds.items(), key=lambda pair: -pair[1])[:KINDS]
    return f"{path.stem}: {sum(kinds.values()):.1f} ms: " + ", ".join(
        f"{kind} {ms:.1f}" for kind, ms in longest
    )
