"""Convolutions of an ONNX graph in 8 bits, by quantisation after training."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from einops import rearrange
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from hfmoe.export.program import quiet
from hfmoe.image.files import list_images, read_gray8, read_rgb8
from hfmoe.infer.backends.graphs import EFFORT, IMAGE

LEAST_CHANNELS = 8
"""Input channels from which a 3x3 convolution runs in 8 bits; the stem and the base stay exact."""
IMAGES, SIDE = 16, 128
"""Photos that calibration looks at, and the side of the square it takes from the middle of each."""


def quantised(model: onnx.ModelProto, folder: Path, *, channels: int) -> onnx.ModelProto:
    """The graph with its wide 3x3 convolutions in 8 bits, ranges taken from the photos of a folder.

    Raises ImageError when the folder is missing or a photo cannot be read, ValueError when it has none.
    """
    wide = wide_convolutions(model)
    if not wide:
        raise ValueError(f"int8: the network has no 3x3 convolution of {LEAST_CHANNELS} or more channels")
    reader = Photos(
        folder, channels=channels, effort=any(place.name == EFFORT for place in model.graph.input)
    )
    with tempfile.TemporaryDirectory() as place, quiet():
        source, target = Path(place) / "float.onnx", Path(place) / "int8.onnx"
        onnx.save(model, source)
        quantize_static(
            source,
            target,
            reader,
            quant_format=QuantFormat.QDQ,
            nodes_to_quantize=wide,
            op_types_to_quantize=["Conv"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return onnx.load(target)


def wide_convolutions(model: onnx.ModelProto) -> list[str]:
    """Names of the dense 3x3 convolutions of many channels, where nearly all multiply-adds are."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    return [
        node.name
        for node in model.graph.node
        if node.op_type == "Conv" and _is_wide(shapes.get(node.input[1], ()))
    ]


def _is_wide(shape: tuple[int, ...]) -> bool:
    return len(shape) == 4 and shape[2:] == (3, 3) and shape[1] >= LEAST_CHANNELS


class Photos(CalibrationDataReader):
    """Squares from the middle of a folder's photos, as a graph takes them."""

    def __init__(self, folder: Path, *, channels: int, effort: bool) -> None:
        paths = list_images(folder)
        if not paths:
            raise ValueError(f"{folder} holds no photos to calibrate with")
        step = -(-len(paths) // IMAGES)
        self._feeds = self._read(paths[::step], channels=channels, effort=effort)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Inputs of the next run, None after the last."""
        return next(self._feeds, None)

    @staticmethod
    def _read(paths: list[Path], *, channels: int, effort: bool) -> Iterator[dict[str, np.ndarray]]:
        for path in paths:
            colour = read_gray8(path) if channels == 1 else read_rgb8(path)
            top, left = (max(0, (side - SIDE) // 2) for side in colour.shape[1:])
            middle = colour[:, top : top + SIDE, left : left + SIDE]
            image = rearrange(middle.float() / 255, "c h w -> 1 c h w").contiguous().numpy()
            yield {IMAGE: image} | ({EFFORT: np.array(0.5, np.float32)} if effort else {})
