"""Console output of a run: a live line on a terminal, plain lines elsewhere."""

import math
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from hfmoe.train.progress import Progress


class Screen:
    """Shows the records of a run and the time left, from the progress at which it begins."""

    def __init__(self, *, name: str, progress: Progress, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet)
        self._progress, self._start, self._begin = progress, progress.done, time.perf_counter()
        self._facts: dict[str, str] = {}
        self._shown = 0.0
        self._bar: Bar | None = None
        if self.console.is_terminal and not quiet:
            columns = (
                TextColumn(name),
                BarColumn(20),
                MofNCompleteColumn(),
                TextColumn("{task.fields[facts]}"),
            )
            self._bar = Bar(*columns, console=self.console, auto_refresh=False)
            self._task = self._bar.add_task(
                name, total=math.ceil(progress.total), completed=int(progress.done), facts=""
            )

    def __enter__(self) -> "Screen":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def say(self, text: str) -> None:
        """Write a line of text."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def tick(self, progress: Progress) -> None:
        """Move the live line to what is done of the run, at most twice a second."""
        now, self._progress = time.perf_counter(), progress
        if self._bar and now - self._shown >= 0.5:
            self._bar.update(self._task, completed=int(progress.done), refresh=True)
            self._shown = now

    def show(self, record: Mapping[str, Any]) -> None:
        """Show a record of kind "train" or "validation"."""
        news = described(record)
        self._facts |= news
        step = record["step"]
        if record["kind"] == "train":
            news["left"] = self._facts["left"] = f"{duration(self._seconds_left())} left"
        if self._bar:
            facts = "  ".join(self._facts.values())
            self._bar.update(self._task, completed=int(self._progress.done), facts=facts, refresh=True)
        else:
            run = self._progress
            place = (
                f"/{run.total:g}" if run.unit == "steps" else f", {run.done:.0f} of {run.total:g} {run.unit}"
            )
            self.say(f"step {step}{place}  {'  '.join(news.values())}")

    def _seconds_left(self) -> float:
        run = self._progress
        seconds, done = time.perf_counter() - self._begin, run.done - self._start
        return seconds * max(0.0, run.total - run.done) / done if done > 0 else 0.0


def described(record: Mapping[str, Any]) -> dict[str, str]:
    """Put the numbers of a record into words, each under the name that keeps its place on the line."""
    if record["kind"] == "validation":
        tasks = record.get("tasks", {})
        parts = f" ({', '.join(f'{name} {psnr:.2f}' for name, psnr in tasks.items())})" if tasks else ""
        return {"psnr": f"psnr {record['psnr']:.2f} (best {record['best']:.2f}){parts}"}
    layers = record["load"]
    facts = {"loss": f"loss {record['loss']['total']:.5f}"}
    if "discriminator" in record["loss"]:
        facts["discriminator"] = f"discriminator {record['loss']['discriminator']:.3f}"
    if layers:
        mean = [sum(shares) / len(layers) for shares in zip(*layers, strict=True)]
        facts["load"] = "experts " + "/".join(f"{share:.2f}" for share in mean)
    facts["lr"] = f"lr {record['lr']:.1e}"
    facts["speed"] = f"{record['images_per_second']:.1f} images/s"
    facts["data"] = f"data {record['waiting']:.1%}"
    return facts


def in_words(record: Mapping[str, Any]) -> str:
    """Put a record of a fault or an alarm into one line."""
    return f"{record['kind']} at step {record['step']}: {outcome_of(record)}"


def outcome_of(record: Mapping[str, Any]) -> str:
    """Say what was at fault, what was done about it, and where its batch lies."""
    term = f"{not_finite(record['term'])}: " if record.get("term") else ""
    action = f"; {record['action']}" if record.get("action") else ""
    target = f" to step {record['to']}" if record.get("to") is not None else ""
    batch = f"; batch in {record['batch']}" if record.get("batch") else ""
    return f"{term}{record['what']}{action}{target}{batch}"


def not_finite(terms: str) -> str:
    """Say of one term, or of several with commas between them, that they are not finite."""
    return f"{terms} {'are' if ',' in terms else 'is'} not finite"


def duration(seconds: float) -> str:
    """Return hours and minutes, or seconds below two minutes."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{int(seconds // 3600)}:{int(seconds % 3600 // 60):02d} h"
