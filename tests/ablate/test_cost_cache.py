"""Costs are measured once: a later call on a busy machine takes no quiet measurement away."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from hfmoe.ablate import costs
from hfmoe.ablate.costs import FILE, Cost, cached_costs, known_costs, measured_where
from hfmoe.ablate.runner import recipes_of
from hfmoe.ablate.study import Study, Timing
from hfmoe.bench.timing import Spread
from hfmoe.runtime.machine import machine
from hfmoe.train import Recipe

Make = Callable[..., Study]
COST = Cost(5000, 4000, 10**7, 9 * 10**6, Spread(1.0, 2.0, 3.0), Spread(0.9, 1.0, 1.1))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """Give the names that were measured, call by call; each call finds everything slower than the last."""
    calls: list[set[str]] = []

    def measure(recipes: Mapping[str, Recipe], timing: Timing, *, base: str):
        assert base in recipes
        calls.append(set(recipes))
        slower = replace(COST, milliseconds=Spread(*[float(len(calls))] * 3))
        return dict.fromkeys(recipes, slower)

    monkeypatch.setattr(costs, "measure", measure)
    monkeypatch.setattr(costs, "machine", lambda **_: replace(machine(), load=float(len(calls))))
    return calls


def milliseconds(study: Study, *, renew: bool = False) -> dict[str, float]:
    found = cached_costs(study, recipes_of(study), renew=renew)
    return {name: each.cost.milliseconds.median for name, each in found.items()}


def test_what_was_measured_is_not_measured_again_unless_it_is_asked_for(make: Make, asked: list[set[str]]):
    assert milliseconds(make()) == {"full": 1, "slow": 1} == milliseconds(make(about="other words"))
    assert len(asked) == 1
    assert milliseconds(make(), renew=True) == {"full": 2, "slow": 2} == milliseconds(make())


def test_a_new_variant_is_measured_beside_the_base_and_no_other_loses_its_costs(
    make: Make, asked: list[set[str]]
):
    milliseconds(make())
    study = make(
        variants={"full": {}, "slow": {"optimizer.lr": 1e-5}, "wide": {"network.texture_hidden": 16}}
    )
    assert milliseconds(study) == {"full": 1, "slow": 1, "wide": 2}
    assert asked[1] == {"full", "wide"}
    said = measured_where(cached_costs(study, recipes_of(study)))
    assert [line.partition(" measured on ")[0] for line in said] == ["Costs of full, slow", "Costs of wide"]
    assert "load 0.0" in said[0] and "load 1.0" in said[1]


def test_another_network_timing_or_weights_are_measured_anew(make: Make, asked: list[set[str]]):
    milliseconds(make())
    changed = make(variants={"full": {}, "slow": {"network.texture_hidden": 16}})
    assert milliseconds(changed) == {"full": 1, "slow": 2}
    assert milliseconds(make(latency={"size": 32})) == {"full": 3, "slow": 3}
    weights = recipes_of(make())["slow"].run / "last.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"weights")
    assert milliseconds(make(latency={"size": 32})) == {"full": 3, "slow": 4}


@pytest.mark.parametrize("content", ["", "[]", '{"full": 3}', '{"full": {"of": {}, "cost": {}}}'])
def test_a_file_of_costs_that_cannot_be_read_is_made_anew(make: Make, asked: list[set[str]], content: str):
    path: Path = make().folder / FILE
    path.parent.mkdir(parents=True)
    path.write_text(content)
    assert milliseconds(make()) == {"full": 1, "slow": 1}


def test_what_was_measured_stays_when_another_variant_cannot_be(
    make: Make, asked: list[set[str]], monkeypatch: pytest.MonkeyPatch
):
    milliseconds(make())

    def fail(recipes: Mapping[str, Recipe], timing: Timing, *, base: str):
        raise RuntimeError("measuring costs failed: no memory")

    monkeypatch.setattr(costs, "measure", fail)
    study = make(
        variants={"full": {}, "slow": {"optimizer.lr": 1e-5}, "wide": {"network.texture_hidden": 16}}
    )
    with pytest.raises(RuntimeError, match="no memory"):
        cached_costs(study, recipes_of(study))
    assert set(known_costs(study, recipes_of(study))) == {"full", "slow"}
