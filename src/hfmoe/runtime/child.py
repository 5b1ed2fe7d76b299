"""Measurements in a process of their own: a function and plain values in, plain values out.

Only the peak of a fresh process is the peak of what it ran, and only there do the allocator's settings and
the number of threads hold from the first tensor on. The child reads its job as JSON from stdin and answers
on stdout, a line of JSON a message; what else it prints is kept for the reason of a failure.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from tempfile import TemporaryFile
from types import GeneratorType
from typing import Any, TextIO

COMMAND = "import sys; from hfmoe.runtime.child import main; main(sys.argv[1])"


class ChildError(RuntimeError):
    """A measurement that did not end in order.

    The message is the last line that its process said, or what ended it; `values`: what it had found by then.
    """

    def __init__(self, reason: str, values: list[Any]) -> None:
        super().__init__(reason)
        self.values = values


def run_in_child(
    function: Callable[[Any], Any],
    job: Any,
    *,
    threads: int | None = None,
    timeout: float | None = None,
    on_step: Callable[[str], None] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Any:
    """Call a module's function with a job of plain values in a fresh process and return what it returns.

    Of a function that yields, a list of all that it yielded. timeout: seconds after which the process is
    killed. on_step: told what `report_step` says there. Raises ChildError.
    """
    told = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
    with TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        child = subprocess.Popen(
            [sys.executable, "-c", COMMAND, f"{function.__module__}:{function.__qualname__}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            encoding="utf-8",
            env={**os.environ, **told, **(environment or {})},
        )
        late = threading.Event()
        alarm = threading.Timer(timeout or 0.0, lambda: (late.set(), child.kill()))
        with child:
            try:
                if timeout is not None:
                    alarm.start()
                values, answer = _hear(child, job, on_step or (lambda _: None))
            except BaseException:
                child.kill()
                raise
            finally:
                alarm.cancel()
        if child.returncode or answer is None:
            errors.seek(0)
            reason = f"it took more than {timeout:g} seconds" if late.is_set() else ""
            raise ChildError(reason or _reason(child.returncode, errors.read()), values)
    return values if answer["many"] else values[0]


def report_step(step: str) -> None:
    """Report progress to the parent process."""
    if _answers is not None:
        _send(_answers, step=step)


_answers: TextIO | None = None
"""Where the answers of this process go; None where it is nobody's child."""


def _hear(
    child: subprocess.Popen[str], job: Any, on_step: Callable[[str], None]
) -> tuple[list[Any], dict[str, Any] | None]:
    """Send the job to the process and read until it ends; return the values, and its last message if any."""
    assert child.stdin is not None and child.stdout is not None
    with suppress(BrokenPipeError), child.stdin:
        child.stdin.write(json.dumps(job))
    values: list[Any] = []
    answer = None
    for line in child.stdout:
        message = json.loads(line)
        if "step" in message:
            on_step(message["step"])
        elif "value" in message:
            values.append(message["value"])
        else:
            answer = message
    return values, answer


def _reason(status: int, said: str) -> str:
    """The last line on stderr; a signal by its name."""
    if status < 0:
        name = signal.Signals(-status).name
        return f"its process was ended by {name}{', for want of memory?' if name == 'SIGKILL' else ''}"
    lines = said.strip().splitlines()
    return lines[-1] if lines else f"its process ended with status {status}"


def _send(answers: TextIO, **message: Any) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


def _values(found: Any) -> Iterator[Any]:
    return iter(found) if isinstance(found, GeneratorType) else iter((found,))


def main(name: str) -> None:
    """Do the job on stdin; what else is printed goes to stderr, for code that is not ours may print."""
    global _answers
    _answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    job = json.load(sys.stdin)
    module, _, function = name.partition(":")
    found = getattr(importlib.import_module(module), function)(job)
    for value in _values(found):
        _send(_answers, value=value)
    _send(_answers, many=isinstance(found, GeneratorType))
