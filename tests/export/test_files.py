"""Exported files run at any size as eager does, say what they are, and are refused when they are not ours."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import skimage.data
import torch

import hfmoe
from hfmoe.batch.dispatch import model_digest
from hfmoe.bench.forms import Case, form_named
from hfmoe.cli.app import run
from hfmoe.export.files import PRECISIONS, PT2_METADATA, SUFFIX, Order, write_graph
from hfmoe.export.verify import compare, drawn, open_program, verify
from hfmoe.image.files import Picture, read_picture, write_picture
from hfmoe.infer.backends.exported import open_exported
from hfmoe.infer.backends.openvino import arithmetic_of
from hfmoe.infer.eager import make_restorer
from hfmoe.infer.restorer import Restorer
from hfmoe.models.header import METADATA_KEY, ModelFacts, WeightsError
from hfmoe.models.weights import load_weights, save_weights

pytestmark = pytest.mark.slow

FORMATS = ("onnx", "openvino", "pt2")
SIZES = ((1, 37, 51), (3, 16, 16), (1, 1, 1), (2, 5, 90))


def opened(exported: dict[str, Path], name: str, weights: Path) -> Restorer:
    path = exported[name]
    return open_program(path, load_weights(weights)) if name == "pt2" else open_exported(path, threads=1)


@pytest.mark.parametrize("name", FORMATS)
@torch.inference_mode()
def test_an_exported_file_equals_eager_at_sizes_it_was_not_traced_with(
    exported, tiny_weights: Path, name: str
):
    eager = make_restorer(load_weights(tiny_weights), device="cpu")
    graph = opened(exported, name, tiny_weights)
    for batch, height, width in SIZES:
        image = drawn(batch, 3, height, width)
        for effort in (0.0, 0.5, 1.0):
            expected = eager.network(image, effort=effort).image
            found = graph.network(image, effort=effort).image
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ("onnx", "openvino"))
def test_the_restored_file_is_that_of_eager_to_a_level(
    exported, tiny_weights: Path, name: str, tmp_path: Path
):
    photo = torch.from_numpy(skimage.data.astronaut()[40:120, 150:271]).permute(2, 0, 1).float() / 255
    write_picture(tmp_path / "photo.png", Picture(photo))
    results = []
    for model in (tiny_weights, exported[name]):
        target = tmp_path / f"{model.suffix[1:]}.png"
        assert (
            run(["restore", str(tmp_path / "photo.png"), "--model", str(model), "--output", str(target)]) == 0
        )
        results.append(read_picture(target).colour)
    assert (results[0] - results[1]).abs().max() <= 1 / 255 + 1e-6


def test_tiles_of_an_exported_file_equal_the_whole(exported):
    restorer = hfmoe.load(exported["onnx"])
    image = drawn(1, 3, 100, 150)
    tiled, whole = restorer(image, tile=restorer.smallest_tile()), restorer(image, tile="off")
    assert (tiled - whole).abs().max() < 2 / 255


def test_a_file_says_what_it_is(exported, tiny_weights: Path):
    properties = {item.key: item.value for item in onnx.load(exported["onnx"]).metadata_props}
    about = json.loads(properties[METADATA_KEY])
    assert about["facts"]["name"] == "tiny-test-x2"
    expected = {"scale": 2, "channels": "RGB", "layout": "NCHW", "range": [0, 1], "precision": "fp32"}
    assert expected.items() <= about["export"].items()
    assert about["export"]["source_sha256"] == "0" * 64
    extra = {PT2_METADATA: ""}
    torch.export.load(exported["pt2"], extra_files=extra)
    assert json.loads(extra[PT2_METADATA])["export"]["routing"] == "sparse"
    assert open_exported(exported["openvino"]).facts == load_weights(tiny_weights).facts


def test_smaller_precisions_make_smaller_files_close_to_eager(tiny_weights: Path, tmp_path: Path, apart):
    loaded = load_weights(tiny_weights)
    write_picture(tmp_path / "photo.png", Picture(drawn(1, 3, 96, 96)[0]))
    places = {"fp32": "", "fp16": "", "int8": tmp_path}
    paths = {name: tmp_path / f"{name}.onnx" for name in places}
    apart(tiny_weights, *(("onnx", name, place, paths[name]) for name, place in places.items()))
    errors = {}
    for name, path in paths.items():
        exported = open_exported(path)
        check = compare(make_restorer(loaded, device="cpu"), exported, batch=1, height=64, width=64, rounds=1)
        assert check.passes(name)
        errors[name] = check.error
    assert errors["fp32"] < errors["fp16"] < errors["int8"]
    assert paths["fp16"].stat().st_size < paths["fp32"].stat().st_size


def test_bf16_is_close_to_eager(exported, tiny_weights: Path, tmp_path: Path):
    loaded, path = load_weights(tiny_weights), tmp_path / "half.xml"
    write_graph(onnx.load(exported["onnx"]), loaded, path, Order("openvino", "bf16"), source="")
    restorer = open_exported(path, threads=1)
    assert restorer.network.header.precision == "bf16"
    check = compare(make_restorer(loaded, device="cpu"), restorer, batch=1, height=64, width=64, rounds=1)
    assert check.passes("bf16")


def test_floats_are_computed_in_bfloat16_where_the_file_asks_and_the_processor_can():
    capable, plain = ["FP32", "BF16"], ["FP32", "INT8"]
    reduced = {name: arithmetic_of(capable, name) for name in PRECISIONS}
    assert reduced == {"fp32": "f32", "fp16": "f32", "bf16": "bf16", "int8": "bf16"}
    assert {arithmetic_of(plain, name) for name in PRECISIONS} == {"f32"}


@pytest.mark.parametrize("name", ["onnx", "openvino"])
@torch.inference_mode()
def test_an_exported_file_is_a_form_of_the_benchmark(exported, tiny_weights: Path, name: str):
    loaded, image = load_weights(tiny_weights), drawn(1, 3, 40, 56)
    form = form_named(str(exported[name]))
    assert form.missing() == ""
    found, expected = (
        each.make(loaded, Case("", 40, 56, 1.0))(image) for each in (form, form_named("eager"))
    )
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    other = loaded._replace(facts=ModelFacts(name="other"))
    with pytest.raises(ValueError, match="is an export of tiny-test-x2, not of this other"):
        form.make(other, Case("", 40, 56, 0.5))


def test_verify_reports_every_size(exported, tiny_weights: Path):
    seen = []
    checks = verify(
        load_weights(tiny_weights),
        exported["onnx"],
        sizes=((1, 8, 8), (2, 20, 9)),
        rounds=1,
        on_check=seen.append,
    )
    assert seen == checks
    assert [(check.batch, check.height, check.width) for check in checks] == [(1, 8, 8), (2, 20, 9)]
    assert all(check.passes("fp32") and check.speedup > 0 for check in checks)


def test_files_that_are_not_ours_are_refused_by_name(exported, tmp_path: Path):
    text = tmp_path / "text.onnx"
    text.write_text("not a graph")
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(exported["onnx"].read_bytes()[:5000])
    bare = tmp_path / "bare.onnx"
    model = onnx.load(exported["onnx"])
    del model.metadata_props[:]
    onnx.save(model, bare)
    alone = tmp_path / "alone.xml"
    alone.write_bytes(exported["openvino"].read_bytes())
    broken = tmp_path / "broken.xml"
    broken.write_text("<net")
    broken.with_suffix(".bin").write_bytes(b"")
    rules = {
        text: "damaged or not an ONNX file",
        cut: "damaged or not an ONNX file",
        bare: "has 2 inputs and 1 outputs, must have one of each",
        alone: "needs its weights beside it",
        broken: "damaged or not an OpenVINO file",
        tmp_path / "absent.onnx": "no such file",
    }
    for path, rule in rules.items():
        with pytest.raises(WeightsError, match=rule) as caught:
            hfmoe.load(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_an_array_goes_through_an_exported_file(exported):
    image = np.full((9, 12, 3), 128, np.uint8)
    assert hfmoe.restore(image, exported["onnx"]).shape == (18, 24, 3)
    with pytest.raises(ValueError, match="device must be cpu"):
        hfmoe.load(exported["onnx"], autocast="bfloat16")


def test_a_backend_exports_a_model_once(tiny_weights: Path, tmp_path: Path):
    write_picture(tmp_path / "photo.png", Picture(drawn(1, 3, 20, 30)[0]))
    command = [sys.executable, "-m", "hfmoe", "restore", str(tmp_path / "photo.png")]
    command += ["--model", str(tiny_weights), "--backend", "onnx"]
    cache = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    said = [subprocess.run(command, env=cache, capture_output=True, text=True, check=True) for _ in range(2)]
    assert "exporting" in said[0].stderr
    assert said[1].stderr == ""
    assert len(list((tmp_path / "cache" / "hfmoe").iterdir())) == 1


def test_an_error_of_the_runtime_is_one_that_a_job_survives(exported):
    restorer = hfmoe.load(exported["onnx"])
    with pytest.raises(RuntimeError, match="ONNX Runtime: .*image"):
        restorer.network(np.zeros((1, 5, 16, 16), dtype=np.float32))


@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_open_models_are_told_apart_by_their_files(
    exported, tiny_weights: Path, tmp_path: Path, name: str, apart
):
    network = load_weights(tiny_weights)
    with torch.no_grad():
        for weight in network.network.parameters():
            weight.mul_(0.5)
    save_weights(tmp_path / "other.safetensors", network.network, network.facts)
    apart(tmp_path / "other.safetensors", (name, "fp32", "", tmp_path / f"other{SUFFIX[name]}"))
    first, again, other = (
        model_digest(hfmoe.load(path))
        for path in (exported[name], exported[name], tmp_path / f"other{SUFFIX[name]}")
    )
    assert first == again != other
