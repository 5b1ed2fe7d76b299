"""Steps that overlap: every item once, bounded, and no failure that stops the others."""

import threading
import time
from typing import Any

import pytest

from hfmoe.batch.pipeline import Pipeline, Steps


class Recorder:
    """Steps that count who is where at once."""

    def __init__(
        self, *, slow: float = 0.0, fails: dict[tuple[str, int], BaseException] | None = None
    ) -> None:
        self.slow, self.fails = slow, fails or {}
        self.lock = threading.Lock()
        self.inside: dict[str, int] = {"read": 0, "work": 0, "write": 0}
        self.most = dict(self.inside)
        self.threads: dict[str, set[int]] = {name: set() for name in self.inside}
        self.written: list[int] = []
        self.read_count = 0
        self.ended: list[tuple[int, Any]] = []

    def step(self, name: str, item: int) -> int:
        with self.lock:
            self.inside[name] += 1
            self.read_count += name == "read"
            self.most[name] = max(self.most[name], self.inside[name])
            self.threads[name].add(threading.get_ident())
        time.sleep(self.slow)
        with self.lock:
            self.inside[name] -= 1
            if (name, item) in self.fails:
                raise self.fails[name, item]
            if name == "write":
                self.written.append(item)
        return item

    def run(self, count: int, *, workers: int = 2, room: int = 10**9, cost: int = 1) -> None:
        steps = Steps(
            lambda item: cost,
            lambda item: self.step("read", item),
            lambda item, value: self.step("work", item),
            lambda item, value: self.step("write", item),
        )
        end = lambda item, outcome: self.ended.append((item, outcome))  # noqa: E731
        Pipeline(steps, workers=workers, room=room, on_end=end).run(range(count))


def test_every_item_goes_through_once_and_ends_in_order():
    seen = Recorder()
    seen.run(20)
    assert sorted(seen.written) == list(range(20))
    assert seen.ended == [(item, item) for item in range(20)]


def test_the_network_works_in_the_callers_thread_alone_while_files_are_read_and_written():
    seen = Recorder(slow=0.01)
    began = time.monotonic()
    seen.run(20)
    assert time.monotonic() - began < 0.9 * 3 * 20 * 0.01
    assert seen.threads["work"] == {threading.get_ident()}
    assert seen.most["work"] == 1
    assert threading.get_ident() not in seen.threads["read"] | seen.threads["write"]
    assert seen.most["read"] <= 2
    assert seen.most["write"] <= 2


def test_a_failure_in_any_step_ends_that_item_and_no_other():
    errors = {("read", 1): ValueError("a"), ("work", 3): RuntimeError("b"), ("write", 5): OSError("c")}
    seen = Recorder(fails={**errors})
    seen.run(8)
    assert sorted(seen.written) == [0, 2, 4, 6, 7]
    outcomes = dict(seen.ended)
    assert [outcomes[item] for item in (1, 3, 5)] == list(errors.values())


@pytest.mark.parametrize("step", ["read", "work", "write"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), AssertionError("a mistake of ours")])
def test_an_interrupt_ends_it_with_what_was_written_whole_and_told(step: str, error: BaseException):
    seen = Recorder(slow=0.002, fails={(step, 4): error})
    with pytest.raises(type(error)):
        seen.run(50)
    assert set(seen.written) >= {0, 1, 2}
    assert len(seen.written) < 20
    assert {item for item, _ in seen.ended} <= {*seen.written}
    assert threading.active_count() < 20


def test_no_more_is_read_ahead_than_there_is_room_for():
    class Waiting(Recorder):
        def step(self, name: str, item: int) -> int:
            if name == "work":
                time.sleep(0.01)
                assert self.read_count <= item + 2
            return super().step(name, item)

    Waiting().run(10, room=100, cost=60)
    free = Recorder(slow=0.005)
    free.run(10, workers=3)
    assert free.most["read"] == 3


def test_a_job_needs_a_thread():
    with pytest.raises(ValueError, match="workers 0 must be at least 1"):
        Recorder().run(1, workers=0)
