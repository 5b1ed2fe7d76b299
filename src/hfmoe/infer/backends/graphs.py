"""What the runtimes share: an exported graph as a network, and what its file says of itself."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hfmoe.models.weights import METADATA_KEY, Header, WeightsError, parse_header

IMAGE, EFFORT, RESTORED = "image", "effort", "restored"
"""Names of a graph's inputs and output; a network without mixtures has no effort."""

Run = Callable[[dict[str, np.ndarray]], np.ndarray]


class GraphOutput(NamedTuple):
    """The restored image (not clamped), as the torch network names it."""

    image: Float[Tensor, "b c H W"]


class Graph(NamedTuple):
    """An exported graph that runs: what `run` takes, by name, and what its file says of itself."""

    run: Run
    inputs: tuple[str, ...]
    header: Header

    def __call__(self, image: Float[Tensor, "b c h w"], *, effort: float = 0.5) -> GraphOutput:
        """Restore images in [0, 1]."""
        feeds = {IMAGE: image.detach().float().contiguous().numpy()}
        if EFFORT in self.inputs:
            feeds[EFFORT] = np.array(effort, dtype=np.float32)
        return GraphOutput(torch.from_numpy(self.run(feeds)))


def make_graph(path: Path, run: Run, *, inputs: list[str], text: str | None) -> Graph:
    """A graph of a file, by the names of its inputs and its metadata; WeightsError when they are not ours."""
    if not text:
        raise WeightsError(f"{path} was not written by `hfmoe export`: no {METADATA_KEY!r} in its metadata")
    if not {IMAGE} <= set(inputs) <= {IMAGE, EFFORT}:
        raise WeightsError(f"{path}: inputs {', '.join(inputs)} must be {IMAGE} and {EFFORT}")
    return Graph(run, tuple(inputs), parse_header(path, text))


def first_line(error: BaseException) -> str:
    """What a runtime said, in one line of bearable length."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:160]
