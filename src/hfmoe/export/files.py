"""Exported files: a network written as ONNX, for OpenVINO or as a torch program, with what it is inside."""

import io
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.export import ExportedProgram

from hfmoe import __version__
from hfmoe.export.program import make_program
from hfmoe.infer.backends import exported
from hfmoe.infer.tiles import tile_geometry
from hfmoe.models.header import METADATA_KEY, header_text
from hfmoe.models.weights import Loaded
from hfmoe.runtime.files import write_atomically

if TYPE_CHECKING:
    import onnx

PRECISIONS = ("fp32", "fp16", "bf16", "int8")
SUFFIX = exported.SUFFIX | {"pt2": ".pt2"}
ROUTING = {"onnx": "all", "openvino": "all", "pt2": "sparse"}
"""Form of mixtures in each format (hfmoe.export.program): docs/decisions/export.md has the measurements."""
PT2_METADATA = "hfmoe.json"
"""Name under which a .pt2 carries its metadata (`extra_files` of `torch.export.load`)."""


@dataclass(frozen=True)
class Order:
    """Format and precision by name, and the folder of photos that int8 is calibrated with."""

    format: str
    precision: str = "fp32"
    calibration: Path | None = None

    def __post_init__(self) -> None:
        if self.format not in SUFFIX:
            raise ValueError(f"format {self.format!r} must be one of {', '.join(SUFFIX)}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision {self.precision!r} must be one of {', '.join(PRECISIONS)}")
        if self.format == "pt2" and self.precision != "fp32":
            raise ValueError(f"precision {self.precision!r}: pt2 is written in fp32 alone")
        if self.precision == "bf16" and self.format != "openvino":
            raise ValueError(f"precision 'bf16': OpenVINO alone computes in it, not {self.format}")
        if (self.precision == "int8") != (self.calibration is not None):
            raise ValueError("int8 needs a calibration folder of photos, and nothing else takes one")


def export_model(loaded: Loaded, path: Path, order: Order, *, source: str) -> None:
    """Write a network to `path` (for OpenVINO an .xml with its .bin beside it); whole or not at all.

    source: sha256 of the weights file. Raises ValueError when the suffix is not the format's, ImageError for
    what is wrong with the calibration folder, OSError when the file cannot be written.
    """
    if path.suffix.lower() != SUFFIX[order.format]:
        raise ValueError(f"{path}: a file of format {order.format} must end in {SUFFIX[order.format]}")
    if path.is_dir() or not path.parent.is_dir():
        rule = "is a folder" if path.is_dir() else f"the folder {path.parent} does not exist"
        raise ValueError(f"{path} cannot be written: {rule}")
    routing = ROUTING[order.format]
    program = make_program(loaded.network, mixtures=routing)
    if order.format == "pt2":
        _write_program(program, path, metadata(loaded, order, source=source, routing=routing))
        return
    from hfmoe.export.onnx import make_onnx

    write_graph(make_onnx(program), loaded, path, order, source=source)


def write_graph(model: "onnx.ModelProto", loaded: Loaded, path: Path, order: Order, *, source: str) -> None:
    """Write the ONNX graph of a network as ordered: for ONNX Runtime or OpenVINO; `model` stays as it is.

    source: sha256 of the weights file. Raises ImageError for what is wrong with the calibration folder,
    OSError when the file cannot be written.
    """
    text = metadata(loaded, order, source=source, routing=ROUTING[order.format])
    if order.calibration is not None:
        from hfmoe.export.quantisation import quantised

        model = quantised(model, order.calibration, channels=loaded.config.channels)
    writer: Callable[..., None] = _write_onnx if order.format == "onnx" else _write_openvino
    writer(model, path, text, half=order.precision == "fp16")


def metadata(loaded: Loaded, order: Order, *, source: str, routing: str) -> str:
    """Return the metadata of an exported file as JSON: that of a weights file, and how the graph is used."""
    config = loaded.config
    geometry = tile_geometry(config)
    about = {
        "version": __version__,
        "source_sha256": source,
        "format": order.format,
        "precision": order.precision,
        "routing": routing,
        "scale": config.scale,
        "channels": "RGB" if config.channels == 3 else "gray",
        "layout": "NCHW",
        "range": [0, 1],
        "clamped": False,
        "size_multiple": config.size_multiple,
        "tile_grid": geometry.multiple,
        "tile_halo": geometry.halo,
    }
    return header_text(config, loaded.facts, export=about)


def _write_program(program: ExportedProgram, path: Path, text: str) -> None:
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={PT2_METADATA: text})
    write_atomically(path, buffer.getvalue())


def _write_onnx(model: "onnx.ModelProto", path: Path, text: str, *, half: bool) -> None:
    from hfmoe.export.onnx import with_half_weights

    model = with_half_weights(model) if half else model
    del model.metadata_props[:]
    model.metadata_props.add(key=METADATA_KEY, value=text)
    write_atomically(path, model.SerializeToString())


def _write_openvino(model: "onnx.ModelProto", path: Path, text: str, *, half: bool) -> None:
    import openvino

    graph = openvino.Core().read_model(io.BytesIO(model.SerializeToString()))
    graph.set_rt_info(text, [METADATA_KEY])
    with tempfile.TemporaryDirectory() as place:
        made = Path(place) / path.name
        openvino.save_model(graph, str(made), compress_to_fp16=half)
        for part in (".bin", path.suffix):
            write_atomically(path.with_suffix(part), made.with_suffix(part).read_bytes())
