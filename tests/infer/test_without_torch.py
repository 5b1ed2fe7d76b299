"""Exported models restore without torch: nothing imports it, and the results are those of tensors."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import openvino
import pytest
import skimage.data
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper

import hfmoe
from hfmoe.image.files import Picture, read_arrays, read_picture, write_picture
from hfmoe.infer.backends.graphs import Graph, Runtime
from hfmoe.infer.eager import Eager
from hfmoe.infer.restorer import Restorer
from hfmoe.infer.tiles import tile_geometry
from hfmoe.models.header import METADATA_KEY, Header, ModelFacts, header_text
from hfmoe.models.presets import PRESETS

HEADER = Header(PRESETS["nano-x2"], ModelFacts(name="doubled"))
OPTIONS = (
    {},
    {"tile": 192},
    {"strength": 0.4},
    {"ensemble": True},
    {"tile": 192, "strength": 0.7, "ensemble": True},
)
RUN = """
import sys
from hfmoe.cli.app import run

for line in sys.stdin.read().splitlines():
    assert run(line.split("|")) == 0
loaded = [name for name in ("torch", "onnx", "pydantic", "matplotlib") if name in sys.modules]
assert not loaded, loaded
"""


def doubled_file(folder: Path, name: str, *, model: str = "nano-x2") -> Path:
    """A file as `hfmoe export` writes them, of a network that repeats each pixel; it says it is `model`."""
    image, restored = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["b", 3, f"{name}_h", f"{name}_w"])
        for name in ("image", "restored")
    )
    node = helper.make_node("Resize", ["image", "", "scales"], ["restored"], mode="nearest")
    scales = numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales")
    graph = helper.make_graph([node], "doubled", [image], [restored], [scales])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    text = header_text(PRESETS[model], HEADER.facts)
    made.metadata_props.add(key=METADATA_KEY, value=text)
    path = folder / "doubled.onnx"
    onnx.save(made, path)
    if name == "onnx":
        return path
    converted = openvino.Core().read_model(str(path))
    converted.set_rt_info(text, [METADATA_KEY])
    openvino.save_model(converted, str(path.with_suffix(".xml")), compress_to_fp16=False)
    return path.with_suffix(".xml")


def in_numpy() -> Restorer:
    def run(feeds: dict[str, np.ndarray]) -> np.ndarray:
        return feeds["image"].repeat(2, -2).repeat(2, -1)

    return Restorer(Runtime(Graph(run, ("image",), HEADER)), tile_geometry(HEADER.config), HEADER.facts)


def in_torch() -> Restorer:
    def network(image: torch.Tensor, *, effort: float) -> SimpleNamespace:
        return SimpleNamespace(image=F.interpolate(image, scale_factor=2))

    return Restorer(Eager(network, torch.device("cpu")), tile_geometry(HEADER.config), HEADER.facts)


def photo(bits: int, *, alpha: bool, height: int = 150, width: int = 230) -> Picture:
    colour = torch.from_numpy(skimage.data.astronaut()[:height, :width]).permute(2, 0, 1).double() / 255
    y, x = torch.arange(height)[:, None], torch.arange(width)[None]
    fade = ((x - y).double() / 40).clamp(0, 1)[None].float()
    return Picture((colour**1.1).float(), fade if alpha else None, bits=bits)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_restoring_by_an_exported_file_imports_no_torch(name: str, tmp_path: Path):
    model = doubled_file(tmp_path, name)
    write_picture(tmp_path / "a.png", photo(8, alpha=True))
    write_picture(tmp_path / "b.tif", photo(16, alpha=False, height=40))
    common = ["--model", str(model), "--backend", name]
    lines = [
        ["restore", str(tmp_path / "a.png"), *common, "--tile", "192", "--strength", "0.5"],
        ["restore", str(tmp_path / "b.tif"), *common, "--ensemble", "--format", "tif"],
    ]
    text = "\n".join("|".join(line) for line in lines)
    child = subprocess.run(
        [sys.executable, "-c", RUN], input=text, capture_output=True, text=True, check=False
    )
    assert child.returncode == 0, child.stderr
    assert read_picture(tmp_path / "a-x2.png").colour.shape == (3, 300, 460)
    assert read_picture(tmp_path / "b-x2.tif").bits == 16


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("bits, alpha", [(8, False), (8, True), (16, True), (32, False)])
def test_arrays_are_restored_as_tensors_are(tmp_path: Path, bits: int, alpha: bool, options: dict):
    write_picture(tmp_path / "photo.tif", photo(bits, alpha=alpha))
    found = in_numpy().picture(read_arrays(tmp_path / "photo.tif"), **options)
    expected = in_torch().picture(read_picture(tmp_path / "photo.tif"), **options)
    assert isinstance(found.colour, np.ndarray)
    np.testing.assert_allclose(found.colour, expected.colour.numpy(), rtol=0, atol=2e-6)
    assert (found.alpha is not None) == (expected.alpha is not None) == alpha
    if found.alpha is not None and expected.alpha is not None:
        np.testing.assert_allclose(found.alpha, expected.alpha.numpy(), rtol=0, atol=2e-6)


@pytest.mark.parametrize("make", [in_numpy, in_torch])
@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_a_restorer_returns_the_kind_it_was_given(make: Callable[[], Restorer], kind: Callable):
    image = np.random.default_rng(0).random((2, 3, 9, 14), np.float32)
    image.flags.writeable = kind is torch.from_numpy
    restored = make()(kind(image))
    assert type(restored) is type(kind(image))
    np.testing.assert_array_equal(restored, image.repeat(2, -2).repeat(2, -1))


def test_an_exported_file_takes_every_public_kind(tmp_path: Path):
    restorer = hfmoe.load(doubled_file(tmp_path, "onnx"))
    array = skimage.data.astronaut()[:12, :17]
    for image in (array, array[::-1, ::-1], array.astype(np.uint16) * 257, (array / 255).astype(np.float16)):
        restored = hfmoe.restore(image, restorer)
        assert restored.dtype == image.dtype
        np.testing.assert_array_equal(restored, image.repeat(2, 0).repeat(2, 1))
    tensor = torch.rand(3, 5, 6, dtype=torch.float64, requires_grad=True)
    assert hfmoe.restore(tensor, restorer).dtype == torch.float64
    assert not hfmoe.restore(tensor, restorer).requires_grad


def test_openvino_gives_every_shape_a_result_of_its_own(tmp_path: Path):
    network = hfmoe.load(doubled_file(tmp_path, "openvino")).network
    random, kept = np.random.default_rng(0), []
    for shape in ((1, 3, 8, 9), (2, 3, 5, 4), (1, 3, 8, 9), (1, 3, 1, 1), (2, 3, 5, 4)):
        image = random.random(shape, np.float32)
        kept.append((image, network(image).image))
    for image, restored in kept:
        np.testing.assert_array_equal(restored, image.repeat(2, -2).repeat(2, -1))


@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_a_file_that_lies_about_its_scale_gives_no_picture(name: str, tmp_path: Path):
    restorer = hfmoe.load(doubled_file(tmp_path, name, model="nano-x4"))
    for side in (8, 9):
        with pytest.raises((ValueError, RuntimeError)):
            restorer(np.zeros((1, 3, side, 8), np.float32))
