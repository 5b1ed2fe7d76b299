"""The dial from faithful to sharp."""

from pathlib import Path

import pytest
import torch
from torch import nn

import hfmoe
from hfmoe.cli.app import run
from hfmoe.image.files import Picture, read_picture, write_picture
from hfmoe.infer.api import model_of_scale, photo_scale
from hfmoe.models.config import HFMoEConfig
from hfmoe.models.header import ModelFacts, WeightsError, shipped
from hfmoe.models.network import HFMoE
from hfmoe.models.presets import PRESETS
from hfmoe.models.sharpness import load_sharpened
from hfmoe.models.weights import load_weights, save_weights


@pytest.fixture
def dial(tmp_path: Path) -> Path:
    """A faithful end whose sharp end, trained from it, lies beside it."""
    torch.manual_seed(0)
    network = HFMoE(config())
    save_weights(tmp_path / "own.safetensors", network, ModelFacts("own"))
    with torch.no_grad():
        for weight in network.parameters():
            weight += 0.02 * torch.randn(weight.shape)
    save_weights(tmp_path / "own-sharp.safetensors", network, ModelFacts("own-sharp"))
    return tmp_path / "own.safetensors"


def config() -> HFMoEConfig:
    return PRESETS["nano-x2"]


def weights(network: nn.Module) -> torch.Tensor:
    return torch.cat([weight.flatten() for weight in network.parameters()])


def test_the_ends_of_the_dial_are_the_two_files(dial: Path):
    for sharpness, path in ((0, dial), (1, dial.with_name("own-sharp.safetensors"))):
        ours, due = load_sharpened(dial, sharpness), load_weights(path)
        assert torch.equal(weights(ours.network), weights(due.network)) and ours.facts == due.facts


def test_between_the_ends_weights_are_averaged_and_results_lie_between(dial: Path):
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    results = [hfmoe.load(dial, sharpness=sharpness)(image) for sharpness in (0, 0.25, 1)]
    faithful, middle, sharp = results
    assert 0 < (middle - faithful).abs().mean() < (sharp - faithful).abs().mean()
    assert (middle - sharp).abs().mean() < (sharp - faithful).abs().mean()
    found, ends = weights(load_sharpened(dial, 0.25).network), [load_weights(dial).network]
    ends.append(load_weights(dial.with_name("own-sharp.safetensors")).network)
    torch.testing.assert_close(found, 0.75 * weights(ends[0]) + 0.25 * weights(ends[1]))


def test_a_model_without_a_sharp_end_and_a_sharpness_out_of_range_are_refused(dial: Path):
    with pytest.raises(WeightsError, match="nano-x2 has no sharpness to choose"):
        hfmoe.load("nano-x2", sharpness=0.5)
    with pytest.raises(ValueError, match=r"sharpness 1.5 must be in \[0, 1\]"):
        hfmoe.load(dial, sharpness=1.5)


def test_the_command_gives_what_the_api_gives(
    dial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source, result = tmp_path / "photo.png", tmp_path / "result.png"
    write_picture(source, Picture(torch.rand(3, 24, 20, generator=torch.Generator().manual_seed(2))))
    order = ["restore", str(source), "--model", str(dial), "--output", str(result)]
    for sharpness in ("0.25", "1"):
        assert run([*order, "--sharpness", sharpness, "--redo"]) == 0
        due = hfmoe.restore(source, dial, sharpness=float(sharpness))
        assert abs(read_picture(result).colour - due.colour).max() <= 0.51 / 255
    assert run([*order, "--sharpness", "2", "--redo"]) == 2
    assert "--sharpness 2.0 must be in [0, 1]" in capsys.readouterr().err


def test_photo_models_are_what_is_taken_where_none_is_named():
    assert model_of_scale(None).startswith("tiny-photo-x4")
    assert model_of_scale(2).startswith("tiny-photo-x2") and model_of_scale(1).startswith("tiny-photo-x1")
    assert model_of_scale(3) == "nano-x3"
    assert photo_scale(1.5) == 2 and photo_scale(3) == 4 and photo_scale(7) == 4
    assert model_of_scale(2.5) == model_of_scale(4)
    assert all(model_of_scale(scale) in shipped() for scale in (1, 2, 3, 4))


@pytest.mark.parametrize("name", [name for name in shipped() if name.endswith("-sharp")])
def test_a_sharp_end_that_ships_has_its_faithful_end_and_names_its_teacher(name: str):
    sharp, faithful = (load_weights(shipped()[each]) for each in (name, name.removesuffix("-sharp")))
    assert sharp.config == faithful.config
    assert all(facts["licence"] for facts in sharp.facts.teachers.values())
