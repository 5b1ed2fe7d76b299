"""`hfmoe ablate` from outside: one line for what is wrong, status 1 where a run failed."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from hfmoe.cli.app import run

DIVERGING = {
    "optimizer.lr": 1e-5,
    "loss": [{"kind": "mse", "weight": 1e38}],
    "faults.skips": 0,
    "faults.rollbacks": 0,
}


@pytest.fixture
def path(data: dict[str, Any], tmp_path: Path) -> Path:
    found = tmp_path / "study.yaml"
    found.write_text(yaml.safe_dump(data))
    return found


def test_a_study_prints_its_table_and_page_and_a_network_can_be_added(
    path: Path, here: Any, capsys: pytest.CaptureFixture[str]
):
    peer = ["--network", "hfmoe.ablate.peers:PlainNetwork", "--arguments", "{dim: 4, blocks: 1, scale: 2}"]
    assert run(["ablate", str(path), "--seeds", "[0]", "--budget.steps", "2", *peer]) == 0
    out = capsys.readouterr().out
    assert "PlainNetwork" in out and "minus base" in out and out.strip().endswith("report.html")
    assert here.done == ["full, seed 0", "slow, seed 0", "PlainNetwork, seed 0"]


def test_a_diverging_variant_ends_in_status_one_with_the_table(
    path: Path, data: dict[str, Any], here: Any, capsys: pytest.CaptureFixture[str]
):
    path.write_text(yaml.safe_dump({**data, "seeds": [0], "variants": {"full": {}, "odd": DIVERGING}}))
    assert run(["ablate", str(path)]) == 1
    shown = capsys.readouterr()
    assert "1 of 1 diverged" in shown.out and "odd, seed 0: diverged: step 1" in shown.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--seed", "3"], "unknown field seed; did you mean seeds?"),
        (["--budget.steps", "0"], "field budget.steps: 0 is wrong"),
        (["--workers", "0"], "--workers 0 must be at least 1"),
        (["--engine", "cloud"], "--engine 'cloud' must be one of local, ray"),
        (["--address", "auto"], "needs --engine ray"),
        (["--arguments", "{a: 1}"], "1 arguments for 0 networks"),
        (["--variants", "[1]"], "field variants"),
        (["--variants", "{x: [1]}"], "variant 'x' must be fields of a recipe"),
        (["--recipe", "3"], "must be a recipe file or the fields of a recipe"),
        (["--evaluate.sets", "{}"], "names no folder"),
        (["--network", "hfmoe.ablate.peers:Nothing"], "hfmoe.ablate.peers has no Nothing"),
    ],
)
def test_wrong_usage_is_one_line_and_status_two(
    path: Path, here: Any, capsys: pytest.CaptureFixture[str], options: list[str], said: str
):
    assert run(["ablate", str(path), *options]) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1
    assert not here.done


@pytest.mark.parametrize("content", ["", "- a\n", "name: [", "\x00"])
def test_what_is_no_study_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str):
    path = tmp_path / "odd.yaml"
    path.write_text(content)
    for place in (path, tmp_path / "missing.yaml", tmp_path):
        assert run(["ablate", str(place)]) == 2
        assert place.name in capsys.readouterr().err
