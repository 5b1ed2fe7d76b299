"""A network as a torch.export program whose batch, height and width are free."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.export import Dim, ExportedProgram
from torch.fx.experimental import _config as symbolic

from hfmoe.export.form import ExportForm
from hfmoe.infer.backends.graphs import EFFORT, IMAGE
from hfmoe.models.network import HFMoE

EXAMPLE = (2, 48, 80)
"""Batch, height and width of the image that is traced; no size of it is in the result."""


def make_program(network: HFMoE, *, routing: str) -> ExportedProgram:
    """The network as a program of (image, effort), with batch, height and width free."""
    form = ExportForm(network, routing=routing).eval()
    batch, height, width = EXAMPLE
    image = torch.zeros(batch, network.config.channels, height, width)
    free = {0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC}
    with torch.no_grad(), quiet(), symbolic.patch(backed_size_oblivious=True):  # pyright: ignore[reportAttributeAccessIssue]
        return torch.export.export(form, (image, torch.tensor(0.5)), dynamic_shapes={IMAGE: free, EFFORT: {}})


@contextmanager
def quiet() -> Iterator[None]:
    """Without what exporters say about themselves while they work."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
