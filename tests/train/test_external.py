"""Networks that are not ours train, go on exactly, and are named when they are not what they must be."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hfmoe.models.external import ExternalError, ExternalNetwork, build_external, find_class, load_external
from hfmoe.models.folding import fold
from hfmoe.models.header import WeightsError
from hfmoe.nn.repconv import RepConv
from hfmoe.train import Recipe, RecipeError, train
from hfmoe.train.learner import build_network
from hfmoe.train.run_report import write_page

Make = Callable[..., Recipe]


class Droppy(nn.Module):
    """A network with everything that ours have not: dropout, batch norm, an activation used twice."""

    def __init__(self, *, dim: int = 4, scale: int = 2) -> None:
        super().__init__()
        self.enter = nn.Sequential(nn.Conv2d(3, dim, 3, padding=1), nn.BatchNorm2d(dim), nn.Dropout(0.5))
        self.rep = RepConv(dim, dim)
        self.activation = nn.SiLU()
        self.leave = nn.Conv2d(dim, 3 * scale**2, 1)
        self.shuffle = nn.PixelShuffle(scale)

    def forward(self, image: Tensor) -> Tensor:
        features = self.rep(self.enter(image))
        return self.shuffle(self.leave(self.activation(features) + features))


class Wrong(nn.Conv2d):
    """Gives what it is given, not enlarged."""

    def __init__(self) -> None:
        super().__init__(3, 3, 1)


class Idle(nn.Identity):
    """Has nothing to train."""


@pytest.fixture(autouse=True)
def theirs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    module = ModuleType("theirs")
    for found in (Droppy, Wrong, Idle):
        setattr(module, found.__name__, found)
    monkeypatch.setitem(sys.modules, "theirs", module)
    yield


def peer(name: str = "Droppy", **fields: Any) -> dict[str, Any]:
    return {"network": {}, "peer": {"network": f"theirs:{name}", **fields}}


def test_a_peer_learns_goes_on_with_the_same_bits_and_its_weights_come_back(
    make: Make, photos: Path, tmp_path: Path
):
    fields: dict[str, Any] = {
        **peer(arguments={"dim": 6}, multiple=8),
        "steps": 6,
        "validation": {"folder": str(photos), "every": 3, "images": 1},
    }
    whole, parts = (make(**fields, run=str(tmp_path / name)) for name in "ab")
    assert train(whole).best is not None
    assert not train(parts.model_copy(update={"time_limit_minutes": 1e-9})).finished
    assert train(parts, resume=True).finished
    one, other = (build_network(recipe) for recipe in (whole, parts))
    for network, recipe in ((one, whole), (other, parts)):
        assert isinstance(network, ExternalNetwork)
        load_external(recipe.run / "last.safetensors", network)
    for name, value in one.state_dict().items():
        assert value.equal(other.state_dict()[name]), name
    assert one.state_dict()["network.enter.1.num_batches_tracked"] == 6
    assert "network theirs:Droppy" in write_page(whole.run).read_text()


def test_folding_a_peer_changes_no_output_though_it_uses_an_activation_s_input_again(make: Make):
    network = build_network(make(**peer())).eval()
    image = torch.rand(1, 3, 16, 12)
    with torch.no_grad():
        assert torch.allclose(fold(network)(image).image, network(image).image, atol=1e-6)


def test_a_peer_sees_sides_that_are_multiples_and_gives_back_the_size_that_is_due():
    network = build_network_of(nn.Upsample(scale_factor=2), multiple=16)
    seen: list[torch.Size] = []
    network.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
    assert network(torch.rand(1, 3, 9, 17)).image.shape == (1, 3, 18, 34)
    assert seen == [(1, 3, 16, 32)]


def build_network_of(network: nn.Module, *, multiple: int) -> ExternalNetwork:
    from hfmoe.models.presets import PRESETS

    return ExternalNetwork(network, PRESETS["nano-x2"], multiple=multiple)


def test_a_peer_of_another_shape_or_without_weights_is_named(make: Make):
    with pytest.raises(ExternalError, match=r"Wrong gave \(2, 3, 32, 32\), must give .*\(2, 3, 64, 64\)"):
        train(make(**peer("Wrong")))
    with pytest.raises(ExternalError, match="theirs:Idle has no weights to train"):
        build_external("theirs:Idle", {})
    with pytest.raises(ExternalError, match="theirs has no Missing"):
        find_class("theirs:Missing")


def test_what_has_no_effect_on_a_peer_is_refused(make: Make):
    for fields, said in (
        ({"network": {"dim": 4}}, "network.dim has no effect"),
        ({"init": "nano-x2"}, "holds no weights of the network"),
        ({"hardware": {"strategy": "fsdp"}}, "cannot cut the network"),
    ):
        with pytest.raises(RecipeError, match=said):
            make(**{**peer(), **fields})


def test_weights_of_another_network_are_refused(make: Make, tmp_path: Path):
    recipe = make(**peer(), steps=1)
    train(recipe)
    network = build_network(make(**peer(arguments={"dim": 5})))
    assert isinstance(network, ExternalNetwork)
    with pytest.raises(WeightsError, match="holds no weights of Droppy"):
        load_external(recipe.run / "last.safetensors", network)
