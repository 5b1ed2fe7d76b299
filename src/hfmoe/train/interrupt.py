"""Ctrl-C and SIGTERM as a wish to stop that the loop can honour after its step."""

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class TrainingInterrupted(Exception):  # noqa: N818 (like KeyboardInterrupt, it is no error)
    """A run was asked to stop, saved its state and ended; `signal` says by what: exit status 128 + signal."""

    def __init__(self, number: int, *, step: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name} after step {step}; the state is saved")
        self.signal = number
        self.step = step


class StopWish:
    """Remembers the first signal while the block runs; a second one ends the process at once."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopWish":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._remember)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.signal = number
