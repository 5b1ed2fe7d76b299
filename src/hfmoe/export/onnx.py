"""A torch.export program as an ONNX graph, with what depends on weights alone computed."""

from collections import Counter

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from torch.export import ExportedProgram

from hfmoe.export.program import ExportError, quiet
from hfmoe.infer.backends.graphs import EFFORT, IMAGE, RESTORED
from hfmoe.models.header import one_line

OPSET = 20
"""ONNX operator set of the files: the newest that both runtimes run without taking operators apart."""
LEAST_WEIGHTS = 256
"""Smaller tensors stay in float32: they save nothing."""


def make_onnx(program: ExportedProgram) -> onnx.ModelProto:
    """Return the program as one ONNX graph with its weights inside.

    Raises ExportError with what ONNX has no operator for.
    """
    try:
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
    except torch.onnx.errors.OnnxExporterError as error:
        raise ExportError(f"the network cannot be written as ONNX: {_reason(error)}") from error
    if made is None:
        raise RuntimeError("torch.onnx.export gave no program")
    model = made.model_proto
    used = {name for node in model.graph.node for name in node.input}
    for place in [place for place in model.graph.input if place.name not in used]:
        model.graph.input.remove(place)
    fold_constants(model.graph)
    halve_gated_convolutions(model.graph)
    for item in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output):
        del item.metadata_props[:]
    del model.graph.value_info[:]
    return model


def _reason(error: BaseException) -> str:
    """The innermost cause, which names the operator."""
    while error.__cause__ is not None:
        error = error.__cause__
    return one_line(error)


def fold_constants(graph: onnx.GraphProto) -> None:
    """Replace nodes that depend on weights alone by what they compute."""
    weights = {tensor.name: tensor for tensor in graph.initializer}
    for node in list(graph.node):
        if not node.input or any(name not in weights for name in node.input if name):
            continue
        feeds = {name: numpy_helper.to_array(weights[name]) for name in node.input if name}
        evaluator = ReferenceEvaluator(node, opsets={"": OPSET})
        for name, value in zip(node.output, evaluator.run(None, feeds), strict=True):
            weights[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        graph.node.remove(node)
    del graph.initializer[:]
    graph.initializer.extend(weights.values())
    _drop_unused(graph)


def halve_gated_convolutions(graph: onnx.GraphProto) -> None:
    """Cut each convolution whose output is split into two halves for a gate into two convolutions.

    Runtimes keep blocked layouts between convolutions and fuse what follows one, which the split would break.
    A depthwise convolution stays: its halves would want halves of its input.
    """
    makers = {name: node for node in graph.node for name in node.output}
    readers = Counter(name for node in graph.node for name in node.input)
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for split in [node for node in graph.node if node.op_type == "Split"]:
        conv = makers.get(split.input[0])
        if conv is None or readers[split.input[0]] > 1 or not _gates(conv, split):
            continue
        place = list(graph.node).index(conv)
        for number, output in enumerate(split.output):
            halves = [
                numpy_helper.from_array(np.split(weights[name], 2)[number].copy(), f"{name}_half_{number}")
                for name in conv.input[1:]
            ]
            half = onnx.NodeProto()
            half.CopyFrom(conv)
            half.name, half.input[1:], half.output[:] = (
                f"{conv.name}_{number}",
                [tensor.name for tensor in halves],
                [output],
            )
            graph.initializer.extend(halves)
            graph.node.insert(place + number, half)
        graph.node.remove(conv)
        graph.node.remove(split)
    _drop_unused(graph)


def _gates(conv: onnx.NodeProto, split: onnx.NodeProto) -> bool:
    """Return whether a node is a dense convolution, and the other cuts its channels in two."""
    of_conv, of_split = (
        {item.name: helper.get_attribute_value(item) for item in node.attribute} for node in (conv, split)
    )
    dense = conv.op_type == "Conv" and of_conv.get("group", 1) == 1
    return dense and len(split.output) == 2 and of_split.get("axis", 0) == 1


def _drop_unused(graph: onnx.GraphProto) -> None:
    used = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)


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
