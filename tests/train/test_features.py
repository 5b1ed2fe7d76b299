"""VGG weights from files: random ones of the right shapes."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from hfmoe.losses import VGGFeatures
from hfmoe.models.header import WeightsError
from hfmoe.train.vgg_weights import read_features

LAYERS = ("conv1_2", "conv2_1")


def tensors() -> dict[str, torch.Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        features = VGGFeatures("vgg19", ["conv2_2"]).state_dict()
    return {**features, "classifier.0.weight": torch.zeros(2, 2)}


def write(path: Path, values: dict[str, torch.Tensor]) -> Path:
    if path.suffix == ".safetensors":
        save_file(values, path)
    else:
        torch.save(values, path, _use_new_zipfile_serialization=path.suffix != ".old")
    return path


@pytest.mark.parametrize("name", ["vgg.safetensors", "vgg.pth", "vgg.old"])
def test_a_file_of_any_kind_gives_its_weights_up_to_the_deepest_layer(tmp_path: Path, name: str):
    values = tensors()
    network = read_features(write(tmp_path / name, values), "vgg19", LAYERS)
    state = network.state_dict()
    assert list(state) == [f"features.{place}.{kind}" for place in (0, 2, 5) for kind in ("weight", "bias")]
    assert all(torch.equal(state[name], values[name]) for name in state)
    assert set(network(torch.rand(1, 3, 8, 8))) == set(LAYERS)


def test_reading_keeps_the_global_random_state(tmp_path: Path):
    path = write(tmp_path / "vgg.safetensors", tensors())
    before = torch.get_rng_state()
    read_features(path, "vgg19", LAYERS)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_missing_tensor_is_named(tmp_path: Path):
    path = write(tmp_path / "vgg.safetensors", tensors())
    with pytest.raises(WeightsError, match=r"vgg.safetensors has no tensor features.10.weight"):
        read_features(path, "vgg19", ["conv3_1"])


def test_a_tensor_of_another_shape_is_named_with_both(tmp_path: Path):
    path = write(tmp_path / "vgg.safetensors", {**tensors(), "features.2.weight": torch.zeros(64, 3, 3, 3)})
    with pytest.raises(WeightsError, match=r"features.2.weight is \(64, 3, 3, 3\), must be \(64, 64, 3, 3\)"):
        read_features(path, "vgg19", LAYERS)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(tmp_path: Path, value: float):
    path = write(tmp_path / "vgg.safetensors", {**tensors(), "features.0.bias": torch.full((64,), value)})
    with pytest.raises(WeightsError, match=r"features.0.bias must hold finite"):
        read_features(path, "vgg19", LAYERS)


class Harm:
    """An object whose unpickling would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def test_a_pickle_that_would_run_code_is_refused_unrun(tmp_path: Path):
    torch.save({"features.0.weight": Harm(tmp_path / "harm")}, tmp_path / "vgg.pth")
    with pytest.raises(WeightsError, match="vgg.pth is neither"):
        read_features(tmp_path / "vgg.pth", "vgg19", LAYERS)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("content", [b"", b"no weights", b"\x80\x02", b"12345678{broken", b"PK\x03\x04cut"])
def test_a_file_of_another_kind_is_named(tmp_path: Path, content: bytes):
    path = tmp_path / "vgg.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="vgg.pth is neither a safetensors file nor torch's") as caught:
        read_features(path, "vgg19", LAYERS)
    assert "\n" not in str(caught.value)


def test_a_truncated_file_is_named(tmp_path: Path):
    for name in ("vgg.safetensors", "vgg.pth", "vgg.old"):
        path = write(tmp_path / name, tensors())
        path.write_bytes(path.read_bytes()[:50_000])
        with pytest.raises(WeightsError, match=f"{name} is neither"):
            read_features(path, "vgg19", LAYERS)


def test_a_missing_file_says_how_to_get_it(tmp_path: Path):
    with pytest.raises(WeightsError, match=r"vgg.pth cannot be read: No such file.*`hfmoe download`"):
        read_features(tmp_path / "vgg.pth", "vgg19", LAYERS)


def test_a_file_without_names_is_refused(tmp_path: Path):
    torch.save([torch.zeros(3)], tmp_path / "vgg.pth")
    with pytest.raises(WeightsError, match="must hold named tensors, not list"):
        read_features(tmp_path / "vgg.pth", "vgg19", LAYERS)
