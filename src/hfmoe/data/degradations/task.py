"""A task: how clean photos are degraded to learn from, as a section of a recipe that draws operations."""

from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from hfmoe.data.degradations.sampling import Range
from hfmoe.data.fields import Ramp, Ramped, Scheduled, fixed


@runtime_checkable
class Operation(Protocol):
    """A frozen dataclass of numbers that degrades an image of 1 or 3 channels in [0, 1].

    kind: its name in plain data.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    kind: ClassVar[str]

    def __call__(self, image: Float[Tensor, "c h w"]) -> Float[Tensor, "c H W"]:
        """Degrade an image on its device."""
        ...


class Task(Scheduled):
    """A degradation of a recipe, active from the share `start` of the run until `until`.

    weight: in the mixture of tasks. shrinks: whether it starts from the full-sized photo and shrinks by
    itself, not from the shrunk one. margin: source pixels around a crop that its neighbourhoods reach.
    jitters: whether blocks of 8 x 8 must be able to begin anywhere in a crop.
    """

    shrinks: ClassVar[bool] = False
    margin: ClassVar[int] = 0
    jitters: ClassVar[bool] = False
    weight: Ramped = fixed(1.0)
    kind: str

    def draw(
        self, generator: torch.Generator, *, size: tuple[int, int], scale: int, share: float = 1.0
    ) -> list[Operation]:
        """Draw the operations for a source of `size` at a share of the run.

        Where the task shrinks, the result has 1/scale of the size.
        """
        raise NotImplementedError

    def benchmark(self) -> dict[str, tuple[Operation, ...]]:
        """Return the degradations of papers that the task covers, by strength; validation scores these.

        Where there are none, validation draws from the task as it is at the end of the run.
        """
        return {}

    def ramps(self) -> dict[str, Ramp]:
        """Return the ranges of the task by name, its weight left out."""
        fields = {name: getattr(self, name) for name in type(self).model_fields if name != "weight"}
        return {name: value for name, value in fields.items() if isinstance(value, Ramp)}


class SuperResolutionTask(Task):
    """Classical super-resolution of photos that bicubic made small."""

    kind: Literal["sr"] = "sr"

    def draw(
        self, generator: torch.Generator, *, size: tuple[int, int], scale: int, share: float = 1.0
    ) -> list[Operation]:
        """Draw nothing: the shrunk photo stays as it is."""
        return []


def within(bounds: Range, strengths: tuple[float, ...]) -> list[float]:
    """Return the strengths inside a range, or its middle where none is."""
    low, high = bounds
    return [strength for strength in strengths if low <= strength <= high] or [(low + high) / 2]
