"""The alarm of a routing that collapses."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch

from hfmoe.data import Pair
from hfmoe.train import Recipe, train
from hfmoe.train import loop as training_loop
from hfmoe.train.monitor import LOOKS, RoutingAlarm
from hfmoe.train.progress import Progress
from hfmoe.train.trainer import Trainer


def told(alarm: RoutingAlarm, *loads: list[float]) -> list[tuple[int, int, int, bool]]:
    records = [record for step, load in enumerate(loads, 1) for record in alarm.check([load], step=step)]
    return [(record["step"], record["layer"], record["expert"], record["collapsed"]) for record in records]


@pytest.fixture
def rigged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every window choose the second expert in the first 7 steps of a run."""
    step_of = training_loop.train_step

    def step_rigged(trainer: Trainer, progress: Progress, pair: Pair) -> Any:
        for layer in trainer.learner.network.mixtures():
            with torch.no_grad():
                layer.balance.copy_(torch.tensor([0.0, 1e3 if progress.step < 7 else 0.0]))
        return step_of(trainer, progress, pair)

    monkeypatch.setattr(training_loop, "train_step", step_rigged)


def test_an_expert_that_starves_is_told_once_after_some_looks_and_once_when_it_is_back():
    alarm = RoutingAlarm([[0.6, 0.3, 0.1]], (0.1, 0.9))
    fine, starved = [0.6, 0.3, 0.1], [0.695, 0.3, 0.005]
    loads = [fine, *[starved] * 6, *[fine] * 6]
    assert told(alarm, *loads) == [(1 + LOOKS, 1, 3, True), (7 + LOOKS, 1, 3, False)]


def test_an_expert_that_takes_all_is_told_with_those_it_starves():
    alarm = RoutingAlarm([[0.6, 0.4]], (0.1, 0.9))
    assert told(alarm, *[[1.0, 0.0]] * LOOKS) == [(LOOKS, 1, 1, True), (LOOKS, 1, 2, True)]


def test_looks_that_are_not_in_a_row_do_not_add_up():
    alarm = RoutingAlarm([[0.6, 0.4]], (0.1, 0.9))
    assert told(alarm, *[[1.0, 0.0], [1.0, 0.0], [0.6, 0.4]] * 4) == []


def test_loads_at_the_prior_never_alarm_whatever_the_prior():
    for prior in ([0.99, 0.01], [1.0], [0.25] * 4):
        assert told(RoutingAlarm([prior], (0.1, 0.9)), *[prior] * 5) == []


@pytest.mark.parametrize("stop", range(13))
def test_an_alarm_goes_on_from_its_state_as_if_nothing_had_happened(stop: int):
    fine, starved = [0.6, 0.3, 0.1], [0.695, 0.3, 0.005]
    loads = [fine, *[starved] * 6, *[fine] * 6]
    records = []
    alarm = RoutingAlarm([[0.6, 0.3, 0.1]], (0.1, 0.9))
    for step, load in enumerate(loads, 1):
        records += alarm.check([load], step=step)
        if step == stop:
            state = json.loads(json.dumps(alarm.state()))
            alarm = RoutingAlarm([[0.6, 0.3, 0.1]], (0.1, 0.9))
            alarm.restore(state)
    assert [(record["step"], record["collapsed"]) for record in records] == [
        (1 + LOOKS, True),
        (7 + LOOKS, False),
    ]


def test_a_run_that_goes_on_does_not_repeat_its_alarm(make: Callable[..., Recipe], rigged: None):
    recipe = make(log={"every": 1}, balance_rate=0.0, steps=6)
    train(recipe)
    longer = make(log={"every": 1}, balance_rate=0.0, steps=12)
    train(longer, resume=True, change=True)
    records = [json.loads(line) for line in (recipe.run / "metrics.jsonl").read_text().splitlines()]
    alarms = [record for record in records if record["kind"] == "alarm" and record["collapsed"]]
    assert [alarm["step"] for alarm in alarms] == [LOOKS, LOOKS]


def test_a_router_that_collapses_in_a_run_is_in_its_log_and_on_screen(
    make: Callable[..., Recipe], rigged: None, capsys: pytest.CaptureFixture[str]
):
    recipe = make(log={"every": 1}, balance_rate=0.0)
    assert train(recipe).finished
    records = [json.loads(line) for line in (recipe.run / "metrics.jsonl").read_text().splitlines()]
    alarms = [record for record in records if record["kind"] == "alarm"]
    assert [(alarm["step"], alarm["layer"], alarm["expert"]) for alarm in alarms if alarm["collapsed"]] == [
        (3, 1, 1),
        (3, 1, 2),
    ]
    said = capsys.readouterr().err
    assert "alarm at step 3: the load of expert 1 in layer 1, 0.00%, is out of" in said
