"""Our files where people are: spandrel, ComfyUI, the Hugging Face hub."""

import asyncio
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

import hfmoe
from hfmoe.models.config import HFMoEConfig
from hfmoe.models.header import ModelFacts, WeightsError, shipped
from hfmoe.models.network import HFMoE
from hfmoe.models.weights import load_weights, save_weights

ROOT = Path(__file__).parents[1]
FRESH = """
import sys
import hfmoe.spandrel
hfmoe.spandrel.install()
import spandrel, torch
for path in sys.argv[2:]:
    found = spandrel.ModelLoader().load_from_file(path)
    image = torch.rand(1, 3, 61, 90, generator=torch.Generator().manual_seed(0))
    print(found.architecture.id, found.scale, found.purpose, found.tags[0], found.size_requirements.none)
    torch.save(found(image).clone(), sys.argv[1])
"""


@pytest.mark.parametrize(
    ("name", "said"),
    [("nano-x2", "HFMoE 2 SR nano True"), ("tiny-photo-x1", "HFMoE 1 Restoration tiny True")],
)
def test_spandrel_in_a_fresh_process_runs_our_files_as_we_do(name: str, said: str, tmp_path: Path):
    result = tmp_path / "restored.pt"
    call = [sys.executable, "-c", FRESH, str(result), str(shipped()[name])]
    found = subprocess.run(call, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == said
    image = torch.rand(1, 3, 61, 90, generator=torch.Generator().manual_seed(0))
    ours = hfmoe.load(name, device="cpu")(image)
    torch.testing.assert_close(torch.load(result), ours, atol=1e-5, rtol=0)


def test_a_configuration_of_one_s_own_is_known_from_its_file(tmp_path: Path):
    import hfmoe.spandrel

    hfmoe.spandrel.install()
    from spandrel import ModelLoader

    config = HFMoEConfig(scale=3, dim=8, low_dims=(8, 8), head_dim=8, texture_hidden=8)
    save_weights(tmp_path / "mine.safetensors", HFMoE(config), ModelFacts("mine"))
    with pytest.raises(ValueError, match="no known configuration"):
        ModelLoader().load_from_file(tmp_path / "mine.safetensors")
    hfmoe.spandrel.install(tmp_path / "mine.safetensors")
    assert ModelLoader().load_from_file(tmp_path / "mine.safetensors").scale == 3


def comfy() -> dict[str, ModuleType]:
    """A stand-in for the part of ComfyUI that a node sees."""

    def described(*names: Any, **facts: Any) -> SimpleNamespace:
        return SimpleNamespace(names=names, **facts)

    kind = SimpleNamespace(Input=described, Output=described)
    io = SimpleNamespace(
        ComfyNode=object, Schema=described, Image=kind, Combo=kind, Float=kind, NodeOutput=lambda *made: made
    )
    latest = ModuleType("comfy_api.latest")
    vars(latest).update(io=io, ComfyExtension=object)
    return {"comfy_api": ModuleType("comfy_api"), "comfy_api.latest": latest}


def test_the_comfyui_node_restores_a_batch(monkeypatch: pytest.MonkeyPatch):
    for name, module in comfy().items():
        monkeypatch.setitem(sys.modules, name, module)
    place = ROOT / "integrations" / "comfyui" / "__init__.py"
    spec = importlib.util.spec_from_file_location("hfmoe_comfyui", place)
    assert spec is not None and spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)
    (node,) = asyncio.run(asyncio.run(package.comfy_entrypoint()).get_node_list())
    schema = node.define_schema()
    inputs = [place.names[0] for place in schema.inputs]
    assert "nano-x2" in schema.inputs[1].options
    images = torch.rand(2, 20, 30, 3)
    (restored,) = node.execute(**dict(zip(inputs, (images, "nano-x2", 1.0), strict=True)))
    assert restored.shape == (2, 40, 60, 3)
    ours = hfmoe.restore(images[1].movedim(-1, 0), "nano-x2")
    torch.testing.assert_close(restored[1].movedim(-1, 0), ours, atol=1e-5, rtol=0)


HUB = """
import sys
import hfmoe
from hfmoe.cli.app import run
print(hfmoe.load("hf://somebody/mine").facts.name, hfmoe.load(sys.argv[1]).facts.name)
from hfmoe.models.hub import HubNetwork
print(HubNetwork.from_pretrained("somebody/mine").facts.name)
run(["restore", "none.png", "--model", "hf://somebody/else"])
"""


def test_models_of_the_hub_are_saved_and_loaded_without_a_network(tmp_path: Path):
    from huggingface_hub import ModelCard

    from hfmoe.models.hub import HubNetwork

    loaded = load_weights(shipped()["nano-x2"])
    folder = tmp_path / "saved"
    HubNetwork(loaded).save_pretrained(folder)
    again = HubNetwork.from_pretrained(folder)
    image = torch.rand(1, 3, 20, 24)
    assert torch.equal(again(image).image, loaded.network(image).image)
    card = ModelCard.load(folder / "README.md")
    about = card.data.to_dict()
    assert (about["license"], about["pipeline_tag"]) == ("apache-2.0", "image-to-image")
    assert json.loads((folder / "config.json").read_text())["scale"] == 2

    cache = tmp_path / "home" / "hub" / "models--somebody--mine"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text("0" * 40)
    shutil.copytree(folder, cache / "snapshots" / ("0" * 40))
    offline = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")}
    call = [sys.executable, "-c", HUB, str(folder)]
    found = subprocess.run(call, capture_output=True, text=True, check=True, env=offline)
    assert found.stdout.split() == ["nano-x2"] * 3
    assert found.stderr.startswith("hfmoe: hf://somebody/else: ") and found.stderr.count("\n") == 1


@pytest.mark.parametrize("address", ["hf://", "hf://name", "hf://a/b/../../c", "hf://a b/c"])
def test_an_address_that_is_none_is_refused_with_the_form(address: str):
    with pytest.raises(WeightsError, match="hf://owner/name"):
        hfmoe.load(address)
