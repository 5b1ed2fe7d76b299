"""A budget of processor time: the schedule follows the spent share, and goes on exactly."""

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch

from hfmoe.train import Recipe, RecipeError, train
from hfmoe.train.progress import Progress
from hfmoe.train.run_log import read_records

Make = Callable[..., Recipe]


def ticking(seconds: float = 1.0) -> Callable[[], float]:
    """A clock by which every step takes so many seconds."""
    ticks = count()
    return lambda: seconds * next(ticks)


def learned(run: Path) -> dict[str, Any]:
    state = torch.load(run / "last.ckpt", weights_only=True)
    return {name: state[name] for name in ("network", "average")}


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    return torch.equal(one, other)


def test_where_each_step_takes_a_second_a_budget_of_seconds_trains_what_one_of_steps_does(
    make: Make, tmp_path: Path
):
    fields: dict[str, Any] = {"steps": 6, "patch": [[0, 16], [0.5, 32]]}
    by_steps, by_time = (make(**fields, run=str(tmp_path / name)) for name in "ab")
    by_time = by_time.model_copy(update={"processor_seconds": 6.0})
    train(by_steps)
    result = train(by_time, clock=ticking())
    assert (result.step, result.spent, result.finished) == (6, 6.0, True)
    assert same(learned(by_steps.run), learned(by_time.run))


def test_slow_steps_are_fewer_and_still_end_the_schedule(make: Make):
    recipe = make(steps=100, processor_seconds=10.0, log={"every": 1}, optimizer={"decay": 1.0, "warmup": 0})
    result = train(recipe, clock=ticking(2.5))
    assert (result.step, result.spent) == (4, 10.0)
    records = read_records(recipe.run / "metrics.jsonl").records
    rates = [record["lr"] for record in records if record["kind"] == "train"]
    assert rates == sorted(rates, reverse=True) and rates[0] == pytest.approx(1e-3)
    assert rates[-1] == pytest.approx(1e-3 * (1 + 2**-0.5 * -1) / 2, rel=0.1)


def test_a_run_stopped_at_every_other_step_spends_and_learns_the_same(make: Make, tmp_path: Path):
    fields: dict[str, Any] = {"steps": 50, "processor_seconds": 6.0, "patch": [[0, 16], [0.6, 32]]}
    whole, parts = (make(**fields, run=str(tmp_path / name)) for name in "ab")
    train(whole, clock=ticking(1.5))
    short = parts.model_copy(update={"time_limit_minutes": 1e-9})
    results = [train(short, clock=ticking(1.5))]
    while not results[-1].finished:
        results.append(train(short, resume=True, clock=ticking(1.5)))
    assert [result.spent for result in results] == [1.5, 3.0, 4.5, 6.0]
    assert same(learned(whole.run), learned(parts.run))


def test_what_a_crash_undid_is_not_counted_as_spent(make: Make):
    recipe = make(steps=50, processor_seconds=8.0, checkpoint_minutes=1000, faults={"keep_every": 3})
    ticks = ticking()

    def crashing() -> float:
        now = ticks()
        if now >= 10:
            raise KeyboardInterrupt
        return now

    with pytest.raises(KeyboardInterrupt):
        train(recipe, clock=crashing)
    state = torch.load(recipe.run / "last.ckpt", weights_only=True)
    assert (state["step"], state["spent"]) == (3, 3.0)
    assert train(recipe, resume=True, clock=ticking()).step == 8


def test_the_position_in_the_schedule_is_the_spent_share_and_never_the_end():
    runs = [Progress(40, 10.0, step=3, spent=spent) for spent in (0.0, 0.2, 0.25, 5.0, 9.99, 11.0)]
    assert [run.position for run in runs] == [0, 0, 1, 20, 39, 39]
    assert [run.finished for run in runs] == [False] * 5 + [True]


def test_processor_time_of_several_processes_is_refused(make: Make):
    with pytest.raises(RecipeError, match="processor_seconds needs one process"):
        make(processor_seconds=1.0, batch=2, hardware={"devices": 2})
