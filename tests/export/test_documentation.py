"""The example in docs/export.md runs as it stands."""

import re
from pathlib import Path

import pytest

from hfmoe.models.header import find_weights

PAGE = Path(__file__).parents[2] / "docs" / "export.md"


@pytest.mark.slow
def test_the_example_runs_as_it_stands(tmp_path: Path, monkeypatch, apart):
    apart(find_weights("nano-x4"), ("onnx", "fp32", "", tmp_path / "nano-x4.onnx"))
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    exec(compile(example, str(PAGE), "exec"), {})
