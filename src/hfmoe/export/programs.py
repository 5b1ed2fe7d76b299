"""A network as a torch.export program, and that as an ONNX graph."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import onnx
import torch
from torch.export import Dim, ExportedProgram
from torch.fx.experimental import _config as symbolic

from hfmoe.export.form import ExportForm
from hfmoe.infer.backends.graphs import EFFORT, IMAGE, RESTORED
from hfmoe.models.network import HFMoE

OPSET = 20
"""ONNX operator set of the files: the newest without an operator of whole attention layers, which runtimes
take apart in their own ways."""
EXAMPLE = (2, 48, 80)
"""Batch, height and width of the image that is traced; no size of it is in the result."""


def make_program(network: HFMoE, *, routing: str) -> ExportedProgram:
    """The network as a program of (image, effort), with batch, height and width free."""
    form = ExportForm(network, routing=routing).eval()
    batch, height, width = EXAMPLE
    image = torch.zeros(batch, network.config.channels, height, width)
    free = {0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC}
    with torch.no_grad(), quiet(), symbolic.patch(backed_size_oblivious=True):
        return torch.export.export(
            form, (image, torch.tensor(0.5)), dynamic_shapes={IMAGE: free, EFFORT: {}}
        )


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
    del model.metadata_props[:]
    return model


@contextmanager
def quiet() -> Iterator[None]:
    """Without what exporters say about themselves while they work."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
