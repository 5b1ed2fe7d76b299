"""Measurements in a process of their own."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hfmoe.runtime.child import ChildError, run_in_child
from hfmoe.runtime.memory import added_peak_mib

PROGRAM = Path(__file__).read_text()


@pytest.fixture
def here(tmp_path: Path) -> dict[str, str]:
    """This file as a module that a child can import."""
    (tmp_path / "measurements.py").write_text(PROGRAM)
    return {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}


def named(function: Any) -> Any:
    function.__module__ = "measurements"
    return function


def doubled(job: dict[str, int]) -> dict[str, Any]:
    from hfmoe.runtime.child import report_step

    print("printed")  # noqa: T201
    report_step("doubling")
    return {"twice": 2 * job["value"], "threads": os.environ["OMP_NUM_THREADS"]}


def endless(_: None) -> Iterator[int]:
    yield 1
    yield 2
    time.sleep(600)


def killed(_: None) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def wrong(job: str) -> None:
    raise ValueError(f"{job} is wrong")


def test_a_job_goes_in_and_its_result_and_steps_come_out(here: dict[str, str]):
    steps: list[str] = []
    found = run_in_child(named(doubled), {"value": 21}, threads=3, on_step=steps.append, environment=here)
    assert found == {"twice": 42, "threads": "3"} and steps == ["doubling"]


def test_what_was_found_before_time_ran_out_is_kept(here: dict[str, str]):
    with pytest.raises(ChildError, match="more than 3 seconds") as caught:
        run_in_child(named(endless), None, timeout=3.0, environment=here)
    assert caught.value.values == [1, 2]


@pytest.mark.parametrize("function, reason", [(wrong, "ValueError: it is wrong"), (killed, "SIGKILL")])
def test_a_failure_says_its_cause(function: Any, reason: str, here: dict[str, str]):
    with pytest.raises(ChildError, match=reason):
        run_in_child(named(function), "it", environment=here)


def test_added_memory_is_that_of_the_work():
    assert 200 < added_peak_mib(lambda: bytearray(2**28).count(1)) < 400
