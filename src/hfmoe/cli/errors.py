"""Errors of commands: one line on stderr and an exit status."""

import logging
import os
import sys
from collections.abc import Callable

FAILED, USAGE, DIVERGED, INTERRUPTED = 1, 2, 3, 130
PIPE = "\0-"
"""An argument of - alone, for stdin or stdout, which the CLI library would take for an option."""
TRAINING_NEEDS = ("lightning_fabric", "tensorboard", "matplotlib")
"""Libraries of the extra `train`."""
EXTRAS = {"onnx": "onnx", "onnxscript": "onnx", "onnxruntime": "onnx", "openvino": "openvino"}
EXTRAS |= {"spandrel": "peers", "huggingface_hub": "hub", "gradio": "web"}
EXTRAS |= {"ray": "ray", "fsspec": "ray", "pyarrow": "ray", "pandas": "ray"}
"""Extra of the package that brings a library."""


class UsageError(ValueError):
    """Arguments that contradict each other or name what is not there."""


class Stopped(Exception):  # noqa: N818 (not an error)
    """A signal ended the command after it had put its work in order."""

    def __init__(self, message: str, *, signal: int) -> None:
        super().__init__(message)
        self.status = 128 + signal


class Diverged(Exception):  # noqa: N818 (as Stopped)
    """Training met more losses, gradients or weights that were not finite than its recipe allows."""

    status = DIVERGED


def complain(message: object) -> None:
    """Write one line to stderr; further lines of the message are joined to it."""
    line = " ".join(str(message).replace(PIPE, "-").split()) or "failed"
    sys.stderr.write(f"hfmoe: {line}\n")


class _Complaints(logging.Handler):
    """Writes what the package logs as lines of the command."""

    def emit(self, record: logging.LogRecord) -> None:
        complain(record.getMessage())


def hear_warnings() -> None:
    """Have the package's warnings written to stderr, and those of the image library not.

    The latter names no file, and repeats what the former says of it; at the exit, when pyvips has stopped
    listening, libvips would print its own.
    """
    os.environ.setdefault("VIPS_WARNING", "1")
    logging.getLogger("pyvips").setLevel(logging.CRITICAL)
    ours = logging.getLogger("hfmoe")
    if not any(isinstance(handler, _Complaints) for handler in ours.handlers):
        ours.addHandler(_Complaints(logging.WARNING))


def guarded(command: Callable[[], int | None]) -> int:
    """Run a command and turn the errors that users can cause into one line and an exit status."""
    try:
        return command() or 0
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED
    except (Stopped, Diverged) as stopped:
        complain(stopped)
        return stopped.status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (ValueError, OSError, RuntimeError, MemoryError, ImportError) as error:
        complain(_sentence(error))
        return USAGE if isinstance(error, UsageError) else FAILED


def _sentence(error: Exception) -> str:
    if isinstance(error, ImportError):
        return _missing(error)
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__


def _missing(error: ImportError) -> str:
    """The extra that brings a library; the CLI library raises its own error from that which names it."""
    while error.name is None and isinstance(error.__cause__, ImportError):
        error = error.__cause__
    name = (error.name or "").split(".")[0]
    if name == "matplotlib":
        return "pictures need matplotlib: pip install 'hf-moe-ir[figures]'"
    if name in TRAINING_NEEDS:
        return f"training needs {name}: pip install 'hf-moe-ir[train]'"
    if name in EXTRAS:
        return f"{name} is needed: pip install 'hf-moe-ir[{EXTRAS[name]}]'"
    return str(error)
