"""The forms in which a model runs: torch as it is, compiled, and files that were exported."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hfmoe.infer.backends.exported import is_exported, open_exported, runtime_of
from hfmoe.infer.tiles import tile_geometry
from hfmoe.models.folding import fold
from hfmoe.models.weights import Loaded

Infer = Callable[[Float[Tensor, "1 c h w"]], Float[Tensor, "1 c H W"]]


class Case(NamedTuple):
    """One thing to measure: a form on an input of height x width at an effort."""

    form: str
    height: int
    width: int
    effort: float

    @property
    def pixels(self) -> int:
        """Input pixels."""
        return self.height * self.width

    def label(self) -> str:
        """Return the case in a few words."""
        return f"{self.form}, {self.height} x {self.width}, effort {self.effort:g}"


@dataclass(frozen=True)
class ModelForm:
    """A way to run a model: `make` gives the callable for a case, from weights on the CPU in float32.

    missing: why the form cannot be made here ("" where it can), asked before anything is loaded.
    """

    make: Callable[[Loaded, Case], Infer]
    missing: Callable[[], str] = lambda: ""


def make_eager(loaded: Loaded, case: Case) -> Infer:
    """Return the folded network as `hfmoe restore` runs it."""
    return _at_effort(_channels_last(loaded), case.effort)


def make_compiled(loaded: Loaded, case: Case) -> Infer:
    """Return the folded network through torch.compile, for this size alone."""
    torch._dynamo.config.recompile_limit = 256
    return torch.compile(_at_effort(_channels_last(loaded), case.effort), dynamic=False)


def _channels_last(loaded: Loaded) -> nn.Module:
    folded = fold(loaded.network).requires_grad_(False)
    return folded.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _at_effort(network: nn.Module, effort: float) -> Infer:
    return lambda image: network(image, effort=effort).image


def form_named(name: str) -> ModelForm:
    """Return a form by its name or, of an exported file, its path. Raises ValueError when there is none."""
    return FORMS[name] if name in FORMS else exported_form(name)


def exported_form(path: str) -> ModelForm:
    """A file that `hfmoe export` wrote, in its runtime. Raises ValueError when its suffix is not of one."""
    if not is_exported(path):
        raise ValueError(
            f"form {path!r} must be one of {', '.join(FORMS)}, or an exported file (.onnx, .xml)"
        )
    return ModelForm(partial(make_exported, path), partial(_missing_for, path))


def make_exported(path: str, loaded: Loaded, case: Case) -> Infer:
    """Return an exported file of the same network, ready for this size as after many calls of it.

    Raises ValueError when it is the export of another network.
    """
    restorer = open_exported(path, threads=torch.get_num_threads())
    if (restorer.geometry, restorer.facts.name) != (tile_geometry(loaded.config), loaded.facts.name):
        raise ValueError(f"{path} is an export of {restorer.facts.name}, not of this {loaded.facts.name}")
    graph = restorer.network
    graph.prepare((1, loaded.config.channels, case.height, case.width))
    return lambda image: graph(image, effort=case.effort).image


def _missing_for(path: str) -> str:
    library = {"onnx": "onnxruntime", "openvino": "openvino"}[runtime_of(path)]
    if find_spec(library) is None:
        return f"{library} is not installed"
    return "" if Path(path).is_file() else "no such file"


FORMS: Mapping[str, ModelForm] = {"eager": ModelForm(make_eager), "compiled": ModelForm(make_compiled)}
"""By name; the first is what the others' ratios are taken to. Exported files are forms by their path."""
