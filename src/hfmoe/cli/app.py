"""The `hfmoe` command: its subcommands, each imported when it is asked for, and how errors end."""

import inspect
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import is_dataclass
from typing import get_args, get_type_hints

from cyclopts import App, CycloptsError, Parameter
from cyclopts.exceptions import UnusedCliTokensError

from hfmoe import __version__
from hfmoe.cli.errors import PIPE, USAGE, UsageError, complain, guarded, hear_warnings
from hfmoe.runtime.memory import reuse_memory

COMMANDS = {
    "ablate": "Train the variants of a study alike and compare them.",
    "bench": "Measure time, memory and multiply-adds by input size, effort and form.",
    "compare": "Show two images side by side, where they differ and how they score.",
    "doctor": "Inspect training data, and measure what batch and patch fit, before a run.",
    "download": "Fetch the weights that a perceptual loss needs, and check their sha256.",
    "evaluate": "Score a model on a folder of photos: PSNR and SSIM, on luma and on all channels.",
    "export": "Write a model for another runtime, with batch, height and width free.",
    "info": "Show what a model or preset costs: parameters, multiply-adds, latency, peak memory.",
    "inspect": "Show what a model does with an image: bands, experts, gates, receptive field.",
    "label": "Write what a teacher makes of degraded photos, for other networks to learn from.",
    "models": "List the models that ship with the package.",
    "report": "Write one HTML page about a training run: curves, pictures, routing, hardware.",
    "restore": "Restore image files, or every image of folders and of the folders in them.",
    "samples": "Show what a recipe's network learns from: degraded samples of one step.",
    "train": "Train a network by a recipe.",
    "web": "Show a page that restores photos, for the browsers of this machine, until Ctrl-C.",
}
"""Each command in a sentence, shown without importing it; it is the function of that name."""

HOMES = {"info": "models", "samples": "train"}
"""Modules of `hfmoe.cli` with several commands; the others are named like their command."""

USAGES = {
    "ablate": "STUDY [--field value ...] [--workers N] [--engine ENGINE] [--anew]",
    "doctor": "[DATA ...] [--recipe RECIPE] [--pairs DEGRADED TARGET]",
    "label": "RECIPE --teacher MODEL --count N --output FOLDER [--field value ...]",
    "samples": "RECIPE --output FOLDER [--step N] [--count N] [--field value ...]",
    "train": "RECIPE [--field value ...] [--resume [--change]]",
}
"""Of commands whose parameters do not tell it."""
TAKE_FIELDS = ("ablate", "label", "samples", "train")
"""Commands that take values of recipe fields, which may be empty."""
_FRACTION = re.compile(r"[+-]?\d*\.\d*[1-9]\d*")


def application(asked: str | None = None) -> App:
    """The application; the command that is asked for is imported, the others are known by name alone."""
    app = App(
        name="hfmoe",
        help="Restore and upscale images, and train the networks that do it.",
        version=__version__,
        result_action="return_value",
        help_format="plaintext",
        suppress_keyboard_interrupt=False,
        default_parameter=Parameter(negative=""),
    )
    for name, summary in COMMANDS.items():
        usage = f"Usage: hfmoe {name} {USAGES[name]}" if name in USAGES else None
        home = f"hfmoe.cli.{HOMES.get(name, name)}:{name}"
        app.command(home, help=None if name == asked else summary, usage=usage)
    if asked in COMMANDS:
        function = app[asked].default_command
        settings = (kind for kind in get_type_hints(function).values() if is_dataclass(kind))
        for documented in (function, *settings):
            documented.__doc__ = flowing(inspect.getdoc(documented) or "")
    return app


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    hear_warnings()
    return guarded(lambda: _run(arguments))


def _run(arguments: Sequence[str]) -> int:
    app = application(arguments[0] if arguments else None)
    tokens = [PIPE if token == "-" else token for token in arguments]
    check_values(app, tokens)
    try:
        command, bound, _ = app.parse_args(tokens, exit_on_error=False, print_error=False)
    except UnusedCliTokensError as error:
        left = " ".join(error.unused_tokens or ()).replace(PIPE, "-")
        complain(f"{left!r} is more than the command takes; hfmoe COMMAND --help says what it takes")
        return USAGE
    except CycloptsError as error:
        complain(error)
        return USAGE
    except ValueError as error:  # what a settings object says of its options
        complain(f"--{error}")
        return USAGE
    result = command(*bound.args, **bound.kwargs)
    return result if isinstance(result, int) else 0


def check_values(app: App, tokens: Sequence[str]) -> None:
    """UsageError for what would be taken for something else without a word.

    An empty name (of an unset variable of the shell) would be the current folder; a fraction where an option
    takes a whole number would be rounded.
    """
    if not tokens or tokens[0] not in COMMANDS:
        return
    if "" in tokens and tokens[0] not in TAKE_FIELDS:
        raise UsageError(f"an argument of {tokens[0]} is empty; it must be a name or a value")
    arguments = app[tokens[0]].assemble_argument_collection()
    kinds = {name: get_args(one.hint) or (one.hint,) for one in arguments for name in one.names}
    for token, following in zip(tokens, (*tokens[1:], ""), strict=True):
        name, equals, value = token.partition("=")
        value = value if equals else following
        taken = kinds.get(name, ())
        if int in taken and float not in taken and _FRACTION.fullmatch(value):
            raise UsageError(f"{name} {value} must be a whole number")


def main() -> None:
    """Run the command line of this process and exit with its status.

    Where several processes share a run, each ends at once: as an interpreter ends, threads of their
    connection that still want something of it abort the process.
    """
    reuse_memory()
    status = run(sys.argv[1:])
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


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
