"""Exported files: a graph as a network, what its file says of itself, and a `Restorer` of it."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from hfmoe.image.arrays import Array, alike, as_array, cast, is_tensor
from hfmoe.infer.memory import CPU, Device
from hfmoe.infer.restorer import Restorer
from hfmoe.models.header import METADATA_KEY, Header, WeightsError, file_sha256, parse_header
from hfmoe.runtime.machine import default_threads

IMAGE, EFFORT, RESTORED = "image", "effort", "restored"
"""Names of a graph's inputs and output; a network without mixtures has no effort."""
SUFFIX = {"onnx": ".onnx", "openvino": ".xml"}
"""Suffix of a runtime's files."""

Run = Callable[[dict[str, np.ndarray]], np.ndarray]


class GraphOutput(NamedTuple):
    """The restored image (not clamped), as the torch network names it."""

    image: Float[Array, "b c H W"]


class Graph(NamedTuple):
    """An exported graph that runs: what `run` takes, by name, and what its file says of itself."""

    run: Run
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

    network: Graph
    device: Device = CPU
    identity: str = ""

    def adopt(self, image: Array) -> Array:
        """The image itself, without a past where it is a tensor."""
        return image.detach() if is_tensor(image) else image

    def restore(self, image: Float[Array, "b c h w"], *, effort: float) -> Float[Array, "b c H W"]:
        """Run the graph."""
        return self.network(image, effort=effort).image


def read_inputs(path: Path, *, inputs: list[str], text: str | None) -> Header:
    """What a file's metadata says; WeightsError when that or the names of its inputs are not ours."""
    if not text:
        raise WeightsError(f"{path} was not written by `hfmoe export`: no {METADATA_KEY!r} in its metadata")
    if not {IMAGE} <= set(inputs) <= {IMAGE, EFFORT}:
        raise WeightsError(f"{path}: inputs {', '.join(inputs)} must be {IMAGE} and {EFFORT}")
    return parse_header(path, text)


def first_line(error: BaseException) -> str:
    """What a runtime said, in one line of bearable length."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:160]


def is_exported(path: str | Path) -> bool:
    """Whether a name is that of an exported file, by its suffix."""
    return Path(path).suffix.lower() in SUFFIX.values()


def runtime_of(path: str | Path) -> str:
    """Name of the runtime that an exported file is for."""
    return next(name for name, suffix in SUFFIX.items() if suffix == Path(path).suffix.lower())


def open_exported(path: str | Path, *, threads: int | None = None) -> Restorer:
    """Open a file that `hfmoe export` wrote as ONNX or for OpenVINO, on the CPU.

    threads: as many as torch would use by default. Raises WeightsError when the file cannot be used,
    ImportError when its runtime is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: no such file")
    graph = _open(path, threads or default_threads())
    runtime = Runtime(graph, identity=exported_digest(path))
    return Restorer(runtime, graph.header.config, graph.header.facts)


def exported_digest(path: str | Path) -> str:
    """The sha256 of an exported file and of the weights beside it, if they are in a file of their own."""
    beside = Path(path).with_suffix(".bin")
    return file_sha256(path) + (file_sha256(beside) if beside.is_file() else "")


def _open(path: Path, threads: int) -> Graph:
    if runtime_of(path) == "onnx":
        from hfmoe.infer.backends.onnx import open_onnx

        return open_onnx(path, threads=threads)
    from hfmoe.infer.backends.openvino import open_openvino

    return open_openvino(path, threads=threads)
