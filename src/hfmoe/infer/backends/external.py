"""ONNX files of others as restorers: any network from one image to one image, of free or fixed sizes."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from hfmoe.image.arrays import Array, alike, as_array, cast
from hfmoe.infer.backends.graphs import GraphOutput, Runtime, first_line
from hfmoe.infer.restorer import Restorer
from hfmoe.infer.tiles import TileGeometry
from hfmoe.models.header import ModelFacts, WeightsError

PROBE = 64
"""Side of the image that a graph of free sizes is tried on."""
MULTIPLES = (1, 2, 4, 8, 16, 32, 64)
"""Multiples that networks ask of their sides."""
HALO, OVERLAP, LEAST = 32, 16, 128
"""Pixels that a tile sees and does not give, over which neighbours fade, and of its side at least."""
BYTES_PER_PIXEL = 1024
"""Assumed peak memory of a run for each pixel of its result and of its input: 64 channels, four maps."""
KINDS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


@dataclass(frozen=True)
class ExternalGraph:
    """A graph from images in [0, 1] to images `scale` times as large; effort changes nothing.

    size: height and width that it takes alone, to which images are padded by their border; None: any that are
    multiples. single: it takes one image at a time.
    """

    session: Any
    scale: int
    channels: int
    size: tuple[int, int] | None
    single: bool
    multiple: int = 1

    def __call__(self, image: Float[Array, "b c h w"], *, effort: float = 0.5) -> GraphOutput:
        """Restore images in [0, 1]."""
        values = as_array(cast(image, "float32"))
        height, width = values.shape[2:]
        due = self.size or tuple(-(-side // self.multiple) * self.multiple for side in (height, width))
        below = ((0, 0), (0, 0), (0, due[0] - height), (0, due[1] - width))
        padded = np.pad(values, below, mode="edge")
        parts = padded[:, None] if self.single else [padded]
        restored = np.concatenate([self._run(part) for part in parts])
        return GraphOutput(alike(restored[..., : height * self.scale, : width * self.scale], image))

    def _run(self, image: Float[np.ndarray, "b c h w"]) -> Float[np.ndarray, "b c H W"]:
        place = self.session.get_inputs()[0]
        try:
            (made,) = self.session.run(None, {place.name: image.astype(KINDS[place.type])})
        except Exception as error:  # its own kinds, none of which is a RuntimeError
            raise RuntimeError(f"ONNX Runtime: {error}") from error
        due = (*image.shape[:2], image.shape[2] * self.scale, image.shape[3] * self.scale)
        if self.scale and made.shape != due:
            raise RuntimeError(f"the network made {made.shape} where {due} was due")
        return made.astype(np.float32)


def open_external_onnx(path: Path, session: Any, *, identity: str) -> Restorer:
    """Return the restorer of an ONNX session of another's network, tried once to learn its scale.

    Raises WeightsError when it is not from one image to one image, with the rule.
    """
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or len(outputs) != 1:
        raise WeightsError(
            f"{path} has {len(inputs)} inputs and {len(outputs)} outputs, must have one of each"
        )
    shape, kind = inputs[0].shape, inputs[0].type
    if len(shape) != 4 or kind not in KINDS:
        raise WeightsError(f"{path} takes {kind} of shape {shape}, must take float images (b, c, h, w)")
    batch, channels, *sides = shape
    channels = channels if isinstance(channels, int) else 3
    if channels not in (1, 3):
        raise WeightsError(f"{path} takes {channels} channels, must take 1 or 3")
    size = tuple(sides) if all(isinstance(side, int) for side in sides) else None
    graph = _tried(path, ExternalGraph(session, 0, channels, size, batch == 1))
    side = None if size is None else min(size)
    geometry = TileGeometry(
        scale=graph.scale,
        multiple=graph.multiple,
        halo=HALO if side is None else min(HALO, side * 3 // 16),
        overlap=OVERLAP if side is None else min(OVERLAP, side // 8),
        channels=channels,
        bytes_per_pixel=BYTES_PER_PIXEL * (graph.scale**2 + 1),
        least=LEAST if side is None else side,
        largest=side,
    )
    facts = ModelFacts(path.stem, "photo" if graph.scale == 1 else "sr", notes="ONNX file of another's")
    return Restorer(Runtime(graph, identity=identity), geometry, facts)


def _tried(path: Path, graph: ExternalGraph) -> ExternalGraph:
    """Learn the scale from a run, and for free sizes, of which multiples they must be."""
    height, width = graph.size or (PROBE, PROBE)
    made = _shape(path, graph, height, width)
    scale = made[2] // height
    if made != (1, graph.channels, height * scale, width * scale) or not scale:
        raise WeightsError(
            f"{path} makes {made} of {(1, graph.channels, height, width)}, no whole enlargement"
        )
    known = replace(graph, scale=scale)
    return known if graph.size else replace(known, multiple=_multiple(path, known))


def _multiple(path: Path, graph: ExternalGraph) -> int:
    for multiple in MULTIPLES:
        try:
            _shape(path, graph, PROBE + multiple, PROBE + multiple)
            return multiple
        except WeightsError:
            continue
    raise WeightsError(f"{path} takes sides of {PROBE} and not of its multiples")


def _shape(path: Path, graph: ExternalGraph, height: int, width: int) -> tuple[int, ...]:
    try:
        return graph._run(np.full((1, graph.channels, height, width), 0.5, np.float32)).shape
    except RuntimeError as error:
        raise WeightsError(
            f"{path} does not run on {width} x {height} pixels ({first_line(error)})"
        ) from error
