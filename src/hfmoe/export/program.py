"""A network as a torch.export program whose batch, height and width are free.

The network itself is traced, folded; its parts ask `hfmoe.nn.cpu_ops.exporting` where a graph needs another
form.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx.experimental import _config as symbolic

from hfmoe.infer.backends.graphs import EFFORT, IMAGE
from hfmoe.models.folding import fold
from hfmoe.models.header import one_line
from hfmoe.models.network import HFMoE

EXAMPLE = (2, 48, 80)
"""Batch, height and width of the image that is traced; no size of it is in the result."""
MIXTURES = ("all", "sparse")
"""Forms of mixtures in a graph: every expert on every window, masked; or each on its own windows alone."""


class ExportError(ValueError):
    """A network that cannot be exported; the message names the part."""


class ImageOnly(nn.Module):
    """A network as a graph takes it: image and effort in, the restored image out."""

    def __init__(self, network: HFMoE) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, image: Float[Tensor, "b c h w"], effort: Float[Tensor, ""]
    ) -> Float[Tensor, "b c h2 w2"]:
        """Restore images in [0, 1] (not clamped)."""
        return self.network(image, effort=effort).image


def make_program(network: HFMoE, *, mixtures: str) -> ExportedProgram:
    """Trace a folded copy of the network as a program of (image, effort).

    mixtures: one of MIXTURES. Raises ExportError naming the part that cannot be traced.
    """
    if mixtures not in MIXTURES:
        raise ValueError(f"mixtures {mixtures!r} must be one of {', '.join(MIXTURES)}")
    folded = fold(network, in_place=False).requires_grad_(False)
    for mixture in folded.mixtures():
        mixture.sparse_graph = mixtures == "sparse"
    batch, height, width = EXAMPLE
    image = torch.zeros(batch, network.config.channels, height, width)
    free = {0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC}
    with torch.no_grad(), quiet(), symbolic.patch(backed_size_oblivious=True), naming_the_part(folded):  # pyright: ignore[reportAttributeAccessIssue]
        return torch.export.export(
            ImageOnly(folded).eval(), (image, torch.tensor(0.5)), dynamic_shapes={IMAGE: free, EFFORT: {}}
        )


@contextmanager
def naming_the_part(network: nn.Module) -> Iterator[None]:
    """Raise what fails inside as an ExportError that names the innermost part that was running."""
    running: list[str] = []
    hooks = []
    for name, part in network.named_modules():
        label = f"{name} ({type(part).__name__})"
        hooks += [
            part.register_forward_pre_hook(lambda *_, label=label: running.append(label)),
            part.register_forward_hook(lambda *_: running.pop() and None),
        ]
    try:
        yield
    except Exception as error:
        part = running[-1] if running else type(network).__name__
        raise ExportError(f"{part} cannot be exported: {one_line(error)}") from error
    finally:
        for hook in hooks:
            hook.remove()


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
