"""A torch.export program as an ONNX graph."""

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch.export import ExportedProgram

from hfmoe.export.programs import quiet
from hfmoe.infer.backends.graphs import EFFORT, IMAGE, RESTORED

OPSET = 20
"""ONNX operator set of the files: the newest that both runtimes run without taking operators apart."""
LEAST_WEIGHTS = 256
"""Smaller tensors stay in float32: they save nothing."""


def make_onnx(program: ExportedProgram) -> onnx.ModelProto:
    """The program as one ONNX graph with its weights inside."""
    with torch.no_grad(), quiet():
        made = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=[IMAGE, EFFORT],
            output_names=[RESTORED],
            external_data=False,
            verbose=False,
        )
    if made is None:
        raise RuntimeError("torch.onnx.export gave no program")
    model = made.model_proto
    used = {name for node in model.graph.node for name in node.input}
    for place in [place for place in model.graph.input if place.name not in used]:
        model.graph.input.remove(place)
    for item in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output):
        del item.metadata_props[:]
    del model.graph.value_info[:]
    return model


def with_half_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with its weights in float16 and a cast behind each: half the file, float32 arithmetic."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    casts = []
    for tensor in made.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or values.size < LEAST_WEIGHTS:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    for cast in reversed(casts):
        made.graph.node.insert(0, cast)
    return made
