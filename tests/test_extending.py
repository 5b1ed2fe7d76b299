"""The worked examples of docs/extending.md: each difference applies to the package, and its code runs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import hfmoe

PACKAGE = Path(hfmoe.__file__).parent
PAGE = Path(__file__).parents[1] / "docs" / "extending.md"
SECTIONS = dict(
    re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
)
FILES = {"A block": 4, "A degradation": 2, "A loss": 2, "A metric": 2, "Inference alone": 0}


def fenced(section: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", SECTIONS[section], flags=re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("git") is None, reason="differences are applied by git")
@pytest.mark.parametrize("section", FILES)
def test_the_example_applies_and_runs(section: str, tmp_path: Path):
    shutil.copytree(PACKAGE, tmp_path / "src" / "hfmoe", ignore=shutil.ignore_patterns("__pycache__"))
    for difference in fenced(section, "diff"):
        assert difference.count("+++ b/src/hfmoe/") == FILES[section]
        command = ["git", "apply", "--whitespace=nowarn", "-"]
        subprocess.run(command, input=difference, text=True, check=True, cwd=tmp_path)
    (code,) = fenced(section, "python")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "src")}
    child = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )
    assert child.returncode == 0, child.stderr
