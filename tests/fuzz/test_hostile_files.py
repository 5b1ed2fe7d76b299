"""Thousands of damaged files through the command: one line each, no crash, no harm to the rest."""

import hashlib
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from hfmoe.batch.manifest import MANIFEST
from hfmoe.image.files import read_picture
from hfmoe.models.header import ModelFacts
from hfmoe.models.network import HFMoE
from hfmoe.models.presets import PRESETS
from hfmoe.models.weights import save_weights

HERE = Path(__file__).parent
COUNT, SEED = 2000, 0
SECONDS_A_FILE = 60
"""For a machine that is busy otherwise; no file takes a second alone."""
MOST_KIB = 2 * 2**20

SMALLEST = replace(
    PRESETS["nano-x2"],
    dim=4,
    low_dims=(4,),
    head_dim=4,
    encoder_blocks=(1,),
    decoder_blocks=(),
    experts=(1.0,),
    token_group=0,
    texture_blocks=1,
    texture_hidden=4,
    dynamic_filter=False,
    cross_attention=False,
)


class Fed(NamedTuple):
    """What became of a folder of files."""

    sources: dict[Path, str]
    results: Path
    child: subprocess.CompletedProcess[str]
    log: list[str]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def fed(tmp_path_factory: pytest.TempPathFactory) -> Fed:
    root = tmp_path_factory.mktemp("fuzz")
    save_weights(root / "w.safetensors", HFMoE(SMALLEST).eval(), ModelFacts(name="smallest-x2"))
    folder, results = root / "in", root / "out"
    folder.mkdir()
    draw = [sys.executable, str(HERE / "hostile.py"), str(folder), str(SEED), str(COUNT)]
    subprocess.run(draw, check=True)
    sources = {path: digest(path) for path in folder.iterdir()}
    restore = [sys.executable, str(HERE / "feed.py"), str(folder), str(results)]
    restore += [str(root / "w.safetensors"), str(root / "log"), str(SECONDS_A_FILE)]
    child = subprocess.run(restore, capture_output=True, text=True, errors="replace", check=False, cwd=root)
    return Fed(sources, results, child, (root / "log").read_text().splitlines())


@pytest.mark.slow
def test_no_file_ends_the_process_or_holds_it_up(fed: Fed):
    assert fed.child.returncode == 1, f"{fed.log[-1]}: {fed.child.stderr[-2000:]}"
    assert fed.log[-1].startswith("peak ")
    assert len(fed.log) - 1 == len(images(fed))


def images(fed: Fed) -> list[Path]:
    return [path for path in fed.sources if not path.name.startswith(".")]


def results(fed: Fed) -> list[Path]:
    return [path for path in fed.results.iterdir() if path.name != MANIFEST]


@pytest.mark.slow
def test_every_file_is_either_restored_or_named_in_one_line(fed: Fed):
    done = len(results(fed))
    lines = [
        line for line in fed.child.stderr.splitlines() if not line.endswith((" is left out", " are left out"))
    ]
    assert [line for line in lines if not line.startswith("hfmoe: ")] == []
    assert not any("Traceback" in line for line in lines)
    summary = re.fullmatch(r"hfmoe: (\d+) of (\d+) images failed", lines[-1])
    assert summary is not None
    assert int(summary[1]) == len(lines) - 1
    assert int(summary[2]) - int(summary[1]) == done
    assert 0.1 * COUNT < done < 0.7 * COUNT


@pytest.mark.slow
def test_every_result_is_whole_and_nothing_else_is_left(fed: Fed):
    for path in results(fed):
        assert path.suffix == ".png"
        assert not path.name.startswith(".")
        assert min(read_picture(path).colour.shape[-2:]) >= 2
    left = {path.name for path in fed.results.parent.iterdir()}
    assert left == {"in", "out", "log", "w.safetensors"}


@pytest.mark.slow
def test_no_source_is_touched_and_names_are_only_names(fed: Fed):
    folder = fed.results.parent / "in"
    assert {path: digest(path) for path in folder.iterdir()} == fed.sources


@pytest.mark.slow
def test_bombs_take_no_memory(fed: Fed):
    assert int(fed.log[-1].split()[1]) < MOST_KIB
    for name in ("bomb-bits.png", "bomb-claim.png"):
        assert name in fed.child.stderr
