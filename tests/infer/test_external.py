"""Networks of others run through our files and tiles as their own library runs them, or are refused."""

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper
from safetensors.torch import save_file
from torch import Tensor, nn

import hfmoe
from hfmoe.cli.app import run
from hfmoe.image.files import Picture, read_picture, write_picture
from hfmoe.infer.external import external_geometry
from hfmoe.infer.memory import plan_tile
from hfmoe.models.external import CommunityNetwork, find_class
from hfmoe.models.header import ModelFacts, WeightsError


@pytest.fixture(scope="module")
def community(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as such networks are published: tensors in a pickle, under a key of the training program."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("community") / "2x_Tiny.pth"
    arguments = {"num_feat": 4, "num_conv": 3, "upscale": 2}
    network = find_class("spandrel:Compact")(**arguments)
    torch.save({"params": network.state_dict()}, path)
    return path


@pytest.fixture
def photo() -> Tensor:
    return torch.rand(1, 3, 201, 173, generator=torch.Generator().manual_seed(1))


def test_a_community_file_runs_as_spandrel_runs_it_and_its_tiles_equal_the_whole(
    community: Path, photo: Tensor
):
    from spandrel import ImageModelDescriptor, ModelLoader

    restorer = hfmoe.load(community, device="cpu")
    assert (restorer.scale, restorer.channels, restorer.facts.name) == (2, 3, "2x_Tiny")
    whole = restorer(photo, tile="off")
    theirs = ModelLoader().load_from_file(community)
    assert isinstance(theirs, ImageModelDescriptor)
    torch.testing.assert_close(whole, theirs(photo).clone())
    torch.testing.assert_close(restorer(photo, tile=restorer.smallest_tile()), whole, atol=1e-5, rtol=0)


def test_files_keep_their_depth_and_evaluate_takes_it(community: Path, photo: Tensor, tmp_path: Path):
    tensors = torch.load(community, weights_only=True)["params"]
    path = tmp_path / "theirs.safetensors"
    save_file(tensors, path)
    write_picture(tmp_path / "a.png", Picture(photo[0].numpy()[:, :40, :30], bits=16))
    assert run(["restore", str(tmp_path / "a.png"), "--model", str(path), "--device", "cpu"]) == 0
    restored = read_picture(tmp_path / "a-x2.png")
    assert (restored.bits, restored.colour.shape) == (16, (3, 80, 60))
    (tmp_path / "a-x2.png").unlink()
    report, against = tmp_path / "scores.json", ["--against", str(community)]
    assert run(["evaluate", str(path), str(tmp_path), "--json", str(report), *against]) == 0
    assert '"classical-sr-x2 v1"' in report.read_text()


class Attack:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("ran"),)


def test_no_code_of_a_file_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"params": Attack()}, "attack.pth")
    Path("old.pth").write_bytes(pickle.dumps({"params": Attack()}))
    for name in ("attack.pth", "old.pth"):
        with pytest.raises(WeightsError, match=f"{name} is damaged, or holds more than tensors"):
            hfmoe.load(name)
    assert not Path("ran").exists()


def test_what_is_no_network_is_refused_by_name(tmp_path: Path, community: Path):
    save_file({"a.weight": torch.rand(3)}, tmp_path / "some.safetensors")
    torch.save([torch.rand(3)], tmp_path / "list.pth")
    (tmp_path / "cut.pth").write_bytes(community.read_bytes()[:700])
    for name, rule in (
        ("some.safetensors", "spandrel knows no architecture"),
        ("list.pth", "holds a list, not the tensors"),
        ("cut.pth", "is damaged"),
    ):
        with pytest.raises(WeightsError, match=f"{name}.*{rule}"):
            hfmoe.load(tmp_path / name)


def test_exports_of_them_are_refused(community: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_picture(tmp_path / "a.png", Picture(np.zeros((3, 8, 8), np.float32)))
    photo = ["restore", str(tmp_path / "a.png"), "--model", str(community)]
    for call in (["export", str(community), "--format", "onnx"], [*photo, "--backend", "onnx"]):
        assert run(call) == 2
        assert "network of others" in capsys.readouterr().err


def asking(**sizes: Any) -> CommunityNetwork:
    """A network that doubles images whose sides are as it asks."""

    def call(_: nn.Module, image: Tensor) -> Tensor:
        height, width = image.shape[2:]
        assert min(height, width) >= wanted.minimum
        assert not (height % wanted.multiple_of or width % wanted.multiple_of)
        assert height == width or not wanted.square
        return F.interpolate(image, scale_factor=2)

    tiling = SimpleNamespace(name=sizes.pop("tiling", "SUPPORTED"))
    wanted = SimpleNamespace(**({"minimum": 0, "multiple_of": 1, "square": False} | sizes))
    descriptor = SimpleNamespace(
        model=nn.Identity(), _call_fn=call, scale=2, input_channels=3, size_requirements=wanted, tiling=tiling
    )
    return CommunityNetwork(descriptor, ModelFacts("asking"))


@pytest.mark.parametrize("size", [(1, 1), (5, 40), (33, 31)])
@pytest.mark.parametrize(
    "sizes", [{}, {"multiple_of": 8}, {"minimum": 16}, {"multiple_of": 8, "square": True}]
)
def test_sides_are_what_a_network_asks_for_and_the_result_what_is_due(
    size: tuple[int, int], sizes: dict[str, Any]
):
    image = torch.rand(2, 3, *size)
    assert torch.equal(asking(**sizes)(image).image, F.interpolate(image, scale_factor=2))


def test_a_network_that_wants_the_whole_image_gets_it_however_little_memory_there_is():
    geometry = external_geometry(asking(tiling="INTERNAL"))
    side = plan_tile(3000, 2000, geometry=geometry, free=2**20)
    assert side is None or side > 3000
    halos = [external_geometry(asking(tiling=advice)).halo for advice in ("SUPPORTED", "DISCOURAGED")]
    assert halos[0] < halos[1]


def onnx_file(path: Path, *, sides: tuple[int | str, int | str], multiple: int = 1) -> Path:
    """A graph that doubles images by repeating pixels; a multiple by way of a fold and its inverse."""
    repeated = [helper.make_node("Concat", ["images"] * 4, ["four"], axis=1)]
    shuffled = helper.make_node("DepthToSpace", ["four"], ["doubled"], blocksize=2)
    fold = helper.make_node("SpaceToDepth", ["doubled"], ["folded"], blocksize=2 * multiple)
    unfold = helper.make_node("DepthToSpace", ["folded"], ["out"], blocksize=2 * multiple)
    graph = helper.make_graph(
        [*repeated, shuffled, fold, unfold],
        "double",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, *sides])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 3, None, None])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("sides", "multiple"), [((64, 64), 1), ((48, 64), 1), (("h", "w"), 1), (("h", "w"), 8)]
)
def test_onnx_files_of_others_restore_any_size(
    sides: tuple[int | str, int | str], multiple: int, photo: Tensor, tmp_path: Path
):
    restorer = hfmoe.load(onnx_file(tmp_path / "double.onnx", sides=sides, multiple=multiple))
    assert (restorer.scale, restorer.geometry.multiple) == (2, multiple)
    for image in (photo, photo[..., :5, :70], torch.cat([photo, photo.flip(3)])):
        torch.testing.assert_close(restorer(image), F.interpolate(image, scale_factor=2))
    if sides[0] != "h":
        with pytest.raises(ValueError, match="double takes .* pixels a side, not 201"):
            restorer(photo, tile="off")


def test_onnx_files_that_do_not_restore_are_refused_with_the_rule(tmp_path: Path):
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, "h", "w"])
    flat = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    node = helper.make_node("ReduceMean", ["x"], ["y"], axes=[2, 3])
    graph = helper.make_graph([node], "mean", [image], [flat])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, tmp_path / "mean.onnx")
    with pytest.raises(WeightsError, match="mean.onnx makes .* no whole enlargement"):
        hfmoe.load(tmp_path / "mean.onnx")


def test_an_array_comes_back_as_one(community: Path):
    restored = hfmoe.restore(np.zeros((9, 7, 3), np.uint8), community, device="cpu")
    assert (restored.shape, restored.dtype) == ((18, 14, 3), np.uint8)
