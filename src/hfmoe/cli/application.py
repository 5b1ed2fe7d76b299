"""The application that every command registers with."""

import inspect
from collections.abc import Callable
from typing import Any

from cyclopts import App

from hfmoe import __version__

app = App(
    name="hfmoe",
    help="Restore and upscale images, and train the networks that do it.",
    version=__version__,
    result_action="return_value",
    help_format="plaintext",
    suppress_keyboard_interrupt=False,
)


def command(*, usage: str | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function as a command; its docstring is the help, in lines as long as the terminal's."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        function.__doc__ = flowing(inspect.getdoc(function) or "")
        return app.command(function, usage=usage)

    return register


def flowing(text: str) -> str:
    """Text whose paragraphs are one line each: lines of one indentation are joined, headings are not."""
    lines: list[str] = []
    for line in text.splitlines():
        before = lines[-1] if lines else ""
        ruled = line.startswith("---") or before.startswith("---")
        if line and before and not ruled and _indentation(line) == _indentation(before):
            lines[-1] = f"{before} {line.strip()}"
        else:
            lines.append(line)
    return "\n".join(lines)


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip())
