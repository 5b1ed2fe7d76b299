"""Usage errors of `hfmoe export` and of `hfmoe restore --backend`: one line, and nothing written."""

import builtins
from pathlib import Path

import pytest

from hfmoe.cli.app import run


def fails(command: list[str], status: int, capsys: pytest.CaptureFixture[str]) -> str:
    assert run(command) == status
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize(
    "options, rule",
    [
        (["--format", "tflite"], "format 'tflite' must be one of onnx, openvino, pt2"),
        (["--format", "onnx", "--precision", "int4"], "precision 'int4' must be one of"),
        (["--format", "pt2", "--precision", "fp16"], "pt2 is written in fp32 alone"),
        (["--format", "onnx", "--precision", "bf16"], "OpenVINO alone computes in it, not onnx"),
        (["--format", "onnx", "--precision", "int8"], "int8 needs a calibration folder"),
        (["--format", "onnx", "--calibration", "."], "int8 needs a calibration folder"),
        (["--format", "onnx", "--json", "x.json"], "give both"),
    ],
)
def test_orders_that_contradict_themselves_are_usage_errors(
    options: list[str], rule: str, tiny_weights: Path, capsys
):
    assert rule in fails(["export", str(tiny_weights), *options], 2, capsys)


def test_what_cannot_be_exported_is_named(tiny_weights: Path, tmp_path: Path, capsys):
    assert "known:" in fails(["export", "nonsense", "--format", "onnx"], 1, capsys)
    assert "exported already" in fails(["export", "a.onnx", "--format", "onnx"], 2, capsys)
    wrong = ["export", str(tiny_weights), "--format", "onnx", "--output", str(tmp_path / "a.xml")]
    assert "must end in .onnx" in fails(wrong, 1, capsys)
    nowhere = ["export", str(tiny_weights), "--format", "onnx", "--output", str(tmp_path / "no" / "a.onnx")]
    assert "does not exist" in fails(nowhere, 1, capsys)
    assert not list(tmp_path.iterdir())


def test_backends_that_do_not_fit_the_model_are_usage_errors(tmp_path: Path, capsys):
    command = ["restore", str(tmp_path / "x.png"), "--model"]
    assert "must be one of auto, torch" in fails([*command, "nano-x2", "--backend", "tensorrt"], 2, capsys)
    assert "is an exported file" in fails([*command, "a.onnx", "--backend", "torch"], 2, capsys)
    assert "a.onnx is a file for onnx" in fails([*command, "a.onnx", "--backend", "openvino"], 2, capsys)


def test_a_missing_runtime_is_named_with_its_extra(tmp_path: Path, monkeypatch, capsys):
    (tmp_path / "a.onnx").write_bytes(b"x")
    real = builtins.__import__

    def without(name: str, *rest: object, **more: object):
        if name.split(".")[0] == "onnxruntime":
            raise ModuleNotFoundError("No module named 'onnxruntime'", name="onnxruntime")
        return real(name, *rest, **more)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(builtins, "__import__", without)
    said = fails(["restore", "x.png", "--model", str(tmp_path / "a.onnx")], 1, capsys)
    assert "onnxruntime is needed: pip install 'hf-moe-ir[onnx]'" in said
