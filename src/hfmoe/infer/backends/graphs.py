"""Exported graphs as networks, whatever runs them, and what their files say of themselves."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from hfmoe.image.arrays import Array, alike, as_array, cast, is_tensor
from hfmoe.infer.memory import CPU, Device
from hfmoe.models.header import METADATA_KEY, Header, WeightsError, parse_header

IMAGE, EFFORT, RESTORED = "image", "effort", "restored"
"""Names of a graph's inputs and output; a network without mixtures has no effort."""

RunGraph = Callable[[dict[str, np.ndarray]], np.ndarray]


class GraphOutput(NamedTuple):
    """The restored image (not clamped), as the torch network names it."""

    image: Float[Array, "b c H W"]


class Graph(NamedTuple):
    """An exported graph that runs: what `run` takes, by name, and what its file says of itself."""

    run: RunGraph
    inputs: tuple[str, ...]
    header: Header
    prepare: Callable[[tuple[int, ...]], None] = lambda _: None
    """Makes ready for a shape that will come often."""

    def __call__(self, image: Float[Array, "b c h w"], *, effort: float = 0.5) -> GraphOutput:
        """Restore images in [0, 1]."""
        feeds = {IMAGE: np.ascontiguousarray(as_array(cast(image, "float32")))}
        if EFFORT in self.inputs:
            feeds[EFFORT] = np.array(effort, dtype=np.float32)
        return GraphOutput(alike(self.run(feeds), image))


class Runtime(NamedTuple):
    """A graph as what runs a `Restorer`: arrays or tensors on the CPU, as they come.

    identity: digest of its file.
    """

    network: Callable[..., GraphOutput]
    device: Device = CPU
    identity: str = ""

    def adopt(self, image: Array) -> Array:
        """The image itself, without a past where it is a tensor."""
        return image.detach() if is_tensor(image) else image

    def restore(self, image: Float[Array, "b c h w"], *, effort: float) -> Float[Array, "b c H W"]:
        """Run the graph."""
        return self.network(image, effort=effort).image


def read_inputs(path: Path, *, inputs: list[str], text: str | None) -> Header:
    """Parse a file's metadata; WeightsError when that or the names of its inputs are not ours."""
    if not text:
        raise WeightsError(f"{path} was not written by `hfmoe export`: no {METADATA_KEY!r} in its metadata")
    if not {IMAGE} <= set(inputs) <= {IMAGE, EFFORT}:
        raise WeightsError(f"{path}: inputs {', '.join(inputs)} must be {IMAGE} and {EFFORT}")
    return parse_header(path, text)


def first_line(error: BaseException) -> str:
    """Return a runtime's message in one line of at most 160 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:160]
