"""Weights files: what is saved comes back, and nothing else is accepted."""

import json
import pickle
import re
import subprocess
import sys
import zipfile
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import safetensors
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from hfmoe.models.config import HFMoEConfig
from hfmoe.models.header import METADATA_KEY, ModelFacts, WeightsError, find_weights
from hfmoe.models.network import HFMoE
from hfmoe.models.presets import PRESETS
from hfmoe.models.weights import WithoutValues, load_weights, read_header, save_weights
from hfmoe.runtime.machine import code_version

VALUES = st.one_of(
    st.integers(-2, 2),
    st.integers(10**3, 10**12),
    st.floats(),
    st.text(max_size=3),
    st.none(),
    st.booleans(),
    st.lists(st.one_of(st.integers(-1, 10**9), st.floats()), max_size=5),
)
"""What a hostile or broken file may hold where a number, word or list belongs."""


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stored") / "w.safetensors"
    save_weights(path, HFMoE(PRESETS["nano-x2"]), ModelFacts(name="nano-x2"))
    return path


def altered(source: Path, target: Path, *, header=None, tensors=None) -> Path:
    """A copy of a weights file with its header or tensors changed in place by a function."""
    with safetensors.safe_open(source, framework="pt") as file:
        content = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        values = json.loads(file.metadata()[METADATA_KEY])
    if header:
        header(values)
    if tensors:
        tensors(content)
    save_file(content, target, metadata={METADATA_KEY: json.dumps(values)})
    return target


def refusal(path: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        load_weights(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["nano-x1", "nano-x2", "nano-x4", "tiny-x3"])
def test_saved_weights_rebuild_an_equal_network(name: str, tmp_path: Path):
    network = HFMoE(PRESETS[name]).eval()
    facts = ModelFacts(name=name, recipe={"steps": 3, "loss": ["l1"]}, scores={"Set5 psnr_y": 30.0})
    path = tmp_path / "w.safetensors"
    save_weights(path, network, facts)
    loaded = load_weights(path)
    assert (loaded.config, loaded.facts) == (PRESETS[name], facts)
    assert list(loaded.network.state_dict()) == list(network.state_dict())
    image = torch.rand(1, 3, 20, 24)
    with torch.no_grad():
        assert torch.equal(loaded.network(image).image, network(image).image)


def test_saving_leaves_nothing_beside_the_file(tiny_weights: Path, tmp_path: Path):
    save_weights(tmp_path / "w.safetensors", load_weights(tiny_weights).network, ModelFacts(name="w"))
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


def test_a_failed_save_keeps_the_file_that_was_there(tiny_weights: Path, tmp_path: Path, monkeypatch):
    target = tmp_path / "w.safetensors"
    target.write_bytes(tiny_weights.read_bytes())

    def full_disk(*_: object):
        raise OSError("no space")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="no space"):
        save_weights(target, load_weights(tiny_weights).network, ModelFacts(name="w"))
    assert target.read_bytes() == tiny_weights.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


def test_tensors_are_stored_as_float32(tiny_weights: Path, tmp_path: Path):
    save_weights(tmp_path / "w.safetensors", load_weights(tiny_weights).network.half(), ModelFacts(name="w"))
    assert all(
        p.dtype == torch.float32 for p in load_weights(tmp_path / "w.safetensors").network.parameters()
    )


def test_loading_leaves_the_global_random_state_alone(tiny_weights: Path):
    before = torch.random.get_rng_state()
    load_weights(tiny_weights)
    assert torch.equal(before, torch.random.get_rng_state())


def test_an_unknown_tensor_is_refused_by_name(tiny_weights: Path, tmp_path: Path):
    path = altered(
        tiny_weights, tmp_path / "w", tensors=lambda all_: all_.update({"extra.bias": torch.ones(2)})
    )
    assert "unknown tensor extra.bias" in refusal(path)


def test_a_missing_tensor_is_refused_by_name(tiny_weights: Path, tmp_path: Path):
    name = next(iter(load_weights(tiny_weights).network.state_dict()))
    path = altered(tiny_weights, tmp_path / "w", tensors=lambda all_: all_.pop(name))
    assert f"missing tensor {name}" in refusal(path)


def test_a_tensor_of_another_shape_is_refused_by_name(tiny_weights: Path, tmp_path: Path):
    name = next(iter(load_weights(tiny_weights).network.state_dict()))
    path = altered(tiny_weights, tmp_path / "w", tensors=lambda all_: all_.update({name: torch.ones(77)}))
    assert re.search(rf"tensor {re.escape(name)} is \(77,\), must be \(", refusal(path))


@pytest.mark.parametrize("part, kind", [("config", "HFMoEConfig"), ("facts", "ModelFacts")])
def test_unknown_fields_are_refused_by_name(part: str, kind: str, tiny_weights: Path, tmp_path: Path):
    path = altered(tiny_weights, tmp_path / "a", header=lambda values: values[part].update({"novel": 1}))
    assert f"unknown {kind} field novel" in refusal(path)


def test_a_file_from_before_a_field_takes_its_default(tiny_weights: Path, tmp_path: Path):
    def without(values: dict[str, Any]) -> None:
        for name in ("cross_stride", "learned_split", "residual_scale"):  # at their defaults in this file
            values["config"].pop(name)
        values["facts"].pop("notes")

    old, new = load_weights(altered(tiny_weights, tmp_path / "w", header=without)), load_weights(tiny_weights)
    assert old.config == new.config and old.facts == new.facts
    image = torch.rand(1, 3, 20, 20)
    assert torch.equal(old.network(image).image, new.network(image).image)


def test_a_file_without_a_name_is_refused(tiny_weights: Path, tmp_path: Path):
    path = altered(tiny_weights, tmp_path / "w", header=lambda values: values["facts"].pop("name"))
    assert "missing ModelFacts field name" in refusal(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values["config"].update({"scale": 7}),
        lambda values: values["config"].update({"dim": "wide"}),
        lambda values: values["config"].update({"low_dims": None}),
        lambda values: values["facts"].update({"task": "cooking"}),
        lambda values: values.update({"format": 99}),
        lambda values: values.update({"config": 3}),
        lambda values: values.pop("facts"),
    ],
)
def test_a_header_that_makes_no_sense_is_refused(change, tiny_weights: Path, tmp_path: Path):
    refusal(altered(tiny_weights, tmp_path / "w", header=change))


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 9, 100, 0.5, -1])
def test_a_truncated_file_is_refused(kept: float, tiny_weights: Path, tmp_path: Path):
    content = tiny_weights.read_bytes()
    path = tmp_path / "w.safetensors"
    path.write_bytes(content[: int(kept * len(content)) if 0 < kept < 1 else int(kept)])
    refusal(path)


def test_pickles_are_refused_unread_with_the_commands_that_take_them(tmp_path: Path):
    torch.save({"a": torch.ones(2)}, tmp_path / "new.pth")
    (tmp_path / "plain.ckpt").write_bytes(pickle.dumps({"a": 1}))
    with zipfile.ZipFile(tmp_path / "w.safetensors", "w") as archive:
        archive.writestr("data.pkl", b"")
    for path in tmp_path.iterdir():
        assert "is a pickle" in (message := refusal(path))
        assert "peers" in message


def test_an_exported_program_is_not_taken_for_a_pickle(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "nano.pt2", "w") as archive:
        archive.writestr("version", b"1")
    assert "torch.export.load" in refusal(tmp_path / "nano.pt2")


def test_files_of_other_kinds_are_refused(tmp_path: Path):
    (tmp_path / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    save_file({"a": torch.ones(2)}, tmp_path / "other.safetensors")
    for path in (tmp_path / "photo.png", tmp_path / "other.safetensors", tmp_path / "none", tmp_path):
        refusal(path)


def test_a_name_that_is_nothing_is_answered_with_the_names_there_are(tmp_path: Path, monkeypatch):
    known = {"nano-x2": tmp_path / "nano-x2", "nano-x4": tmp_path / "nano-x4"}
    monkeypatch.setattr("hfmoe.models.header.shipped", lambda: known)
    assert find_weights("nano-x4") == tmp_path / "nano-x4"
    with pytest.raises(WeightsError, match=r"did you mean 'nano-x4'\? \(known: nano-x2, nano-x4\)"):
        find_weights("nano_x4")
    with pytest.raises(WeightsError, match="no such weights file"):
        find_weights(str(tmp_path / "absent.safetensors"))
    with pytest.raises(WeightsError, match="is a folder"):
        find_weights(tmp_path)


def test_the_header_can_be_read_alone(tiny_weights: Path):
    header = read_header(tiny_weights)
    assert header.facts.name == "tiny-test-x2"
    assert header.config == replace(header.config, scale=2)


def test_the_code_version_is_a_sha256():
    assert re.fullmatch(r"[0-9a-f]{64}", code_version())


@pytest.mark.parametrize(
    "field, value",
    [("scores", "high"), ("scores", {"Set5": "good"}), ("recipe", []), ("name", 3), ("task", "magic")],
)
def test_facts_of_a_wrong_kind_are_named(field: str, value: object, stored: Path, tmp_path: Path):
    path = altered(
        stored, tmp_path / "w.safetensors", header=lambda header: header["facts"].update({field: value})
    )
    assert field in refusal(path)


@given(field=st.sampled_from([item.name for item in fields(HFMoEConfig)]), value=VALUES)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_value_in_a_configuration_does_more_than_refuse_the_file(
    field: str, value: object, stored: Path, tmp_path: Path
):
    path = altered(
        stored, tmp_path / "w.safetensors", header=lambda header: header["config"].update({field: value})
    )
    with suppress(WeightsError):
        load_weights(path)


def test_loading_imports_no_compiler():
    """It would take more than a second, a third of the time to the first restored photo."""
    code = "import sys, hfmoe; hfmoe.load('nano-x4', device='cpu'); print('torch._dynamo' in sys.modules)"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == "False"


@pytest.mark.parametrize("name", ["nano-x4", "small-x2"])
def test_a_network_without_values_has_the_shapes_of_one_with_them(name: str):
    with torch.device("meta"), WithoutValues():
        shapes = {key: value.shape for key, value in HFMoE(PRESETS[name]).state_dict().items()}
    assert shapes == {key: value.shape for key, value in HFMoE(PRESETS[name]).state_dict().items()}
