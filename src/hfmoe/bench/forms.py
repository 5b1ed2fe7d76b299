"""The forms in which a model runs: torch as it is, compiled, and what is exported."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hfmoe.models.folding import fold
from hfmoe.models.weights import Loaded

Run = Callable[[Float[Tensor, "1 c h w"]], Float[Tensor, "1 c H W"]]


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
        """The case in a few words."""
        return f"{self.form}, {self.height} x {self.width}, effort {self.effort:g}"


@dataclass(frozen=True)
class Form:
    """A way to run a model: `make` gives the callable for a case, from weights on the CPU in float32.

    missing: why the form cannot be made here ("" where it can), asked before anything is loaded.
    """

    make: Callable[[Loaded, Case], Run]
    missing: Callable[[], str] = lambda: ""


def make_eager(loaded: Loaded, case: Case) -> Run:
    """The folded network as `hfmoe restore` runs it."""
    return _at_effort(_channels_last(loaded), case.effort)


def make_compiled(loaded: Loaded, case: Case) -> Run:
    """The folded network through torch.compile, for this size alone."""
    torch._dynamo.config.recompile_limit = 256
    return torch.compile(_at_effort(_channels_last(loaded), case.effort), dynamic=False)


def _channels_last(loaded: Loaded) -> nn.Module:
    folded = fold(loaded.network).requires_grad_(False)
    return folded.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _at_effort(network: nn.Module, effort: float) -> Run:
    return lambda image: network(image, effort=effort).image


FORMS: Mapping[str, Form] = {"eager": Form(make_eager), "compiled": Form(make_compiled)}
"""By name; the first is what the others' ratios are taken to."""
