"""OpenVINO's own files (an .xml beside a .bin), run on the CPU."""

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import openvino
from einops import rearrange
from openvino.preprocess import PrePostProcessor

from hfmoe.infer.backends.graphs import IMAGE, Graph, first_line, read_inputs
from hfmoe.models.header import METADATA_KEY, WeightsError

WORTH_COMPILING = 2**21
"""Input pixels of one shape after which a graph is compiled for that shape alone: a quarter faster."""
REDUCED = ("bf16", "int8")
"""Precisions of a file whose floats are computed in bfloat16 where the processor has it, else in float32."""
SHAPES = 4
"""Shapes that keep a graph of their own."""


def open_openvino(path: Path, *, threads: int) -> Graph:
    """The graph of an .xml file. Raises WeightsError when the file is not one that `hfmoe export` wrote."""
    if not path.with_suffix(".bin").is_file():
        raise WeightsError(f"{path} needs its weights beside it: no {path.with_suffix('.bin').name}")
    core = openvino.Core()
    try:
        model = core.read_model(str(path))
        inputs = [place.get_any_name() for place in model.inputs]
        text = model.get_rt_info([METADATA_KEY]).astype(str) if model.has_rt_info([METADATA_KEY]) else None
    except Exception as error:
        said = first_line(error)
        raise WeightsError(f"{path} is damaged or not an OpenVINO file ({said})") from error
    header = read_inputs(path, inputs=inputs, text=text)
    arithmetic = arithmetic_of(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"), header.precision)
    compiled = Compiled(core, model, header.config.scale, threads=threads, arithmetic=arithmetic)
    return Graph(compiled.run, tuple(inputs), header, compiled.specialise)


def arithmetic_of(capabilities: Sequence[str], precision: str) -> str:
    """Return the arithmetic of a file of this precision, "f32" or "bf16", by what the CPU can."""
    return "bf16" if precision in REDUCED and "BF16" in capabilities else "f32"


def computes_bf16() -> bool:
    """Return whether this processor multiplies in bfloat16."""
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def compile_network(network: Any, example: Any, *, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """Compile a torch module from images to images, by tracing it on an example, for images of any size.

    It computes in bfloat16 where the processor does, else in float32.
    """
    hints = {
        "INFERENCE_PRECISION_HINT": "bf16" if computes_bf16() else "f32",
        "INFERENCE_NUM_THREADS": threads,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch.jit, which OpenVINO traces with
        model = openvino.convert_model(network, example_input=example)
    compiled = openvino.compile_model(model, "CPU", hints)
    return lambda image: compiled(image)[0]


def channels_last(model: openvino.Model) -> openvino.Model:
    """The model with its result's channels last, as its pixel shuffle leaves them: a pass over it less.

    Only where sizes are known: in a graph of any size that shuffle is slower than the pass.
    """
    process = PrePostProcessor(model)
    process.output(0).model().set_layout(openvino.Layout("NCHW"))
    process.output(0).tensor().set_layout(openvino.Layout("NHWC"))
    return process.build()


class _Ready(NamedTuple):
    """A compiled graph, and whether its result has the channels last."""

    request: openvino.InferRequest
    last: bool


class Compiled:
    """A model compiled for the first shape that comes, for the few that come often, and for all others.

    A graph of one shape is faster and compiles as fast as one of any shape.
    """

    def __init__(
        self, core: openvino.Core, model: openvino.Model, scale: int, *, threads: int, arithmetic: str
    ) -> None:
        self._core, self._model, self._scale = core, model, scale
        self._settings = {
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": arithmetic,
            "PERFORMANCE_HINT": "LATENCY",
        }
        self._any: _Ready | None = None
        self._own: dict[tuple[int, ...], _Ready] = {}
        self._seen: Counter[tuple[int, ...]] = Counter()

    def run(self, feeds: dict[str, np.ndarray]) -> np.ndarray:
        """The output for these inputs, in memory of its own that the runtime writes to."""
        batch, channels, *sides = feeds[IMAGE].shape
        larger = [side * self._scale for side in sides]
        request, last = self._ready(feeds[IMAGE].shape)
        restored = np.empty((batch, *larger, channels) if last else (batch, channels, *larger), np.float32)
        request.set_output_tensor(openvino.Tensor(restored, shared_memory=True))
        request.infer(feeds, share_inputs=True)
        made = tuple(request.get_output_tensor(0).get_shape())
        if made != restored.shape:
            raise ValueError(f"the network made {made} where {restored.shape} was due")
        return rearrange(restored, "b h w c -> b c h w") if last else restored

    def specialise(self, shape: tuple[int, ...]) -> None:
        """Compile for a shape alone, where that is not done yet."""
        if shape not in self._own:
            fixed = self._model.clone()
            fixed.reshape({IMAGE: list(shape)})
            self._own[shape] = _Ready(self._compile(channels_last(fixed)), True)

    def _ready(self, shape: tuple[int, ...]) -> _Ready:
        self._seen[shape] += shape[0] * shape[2] * shape[3]
        often = self._seen[shape] > WORTH_COMPILING and len(self._own) < SHAPES
        if often or not self._own:
            self.specialise(shape)
        if shape in self._own:
            return self._own[shape]
        self._any = self._any or _Ready(self._compile(self._model), False)
        return self._any

    def _compile(self, model: openvino.Model) -> openvino.InferRequest:
        return self._core.compile_model(model, "CPU", self._settings).create_infer_request()
