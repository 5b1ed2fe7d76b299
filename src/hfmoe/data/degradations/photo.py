"""The task of restoring photos with everything that happens to them on their way: a published chain."""

from dataclasses import replace
from typing import ClassVar, Literal

import torch
from pydantic import model_validator

from hfmoe.data.degradations.bsrgan import BSRGAN, Shuffled
from hfmoe.data.degradations.real_esrgan import REAL_ESRGAN, TwoRounds
from hfmoe.data.degradations.task import Operation, Task
from hfmoe.data.fields import Ramp, Ramped, Share, fixed


class PhotoTask(Task):
    """A published chain of degradations; `strength` 1 is as published, 0 leaves next to nothing.

    second: share of photos with the second of Real-ESRGAN's rounds; webp: share of files that are WebP.
    """

    shrinks: ClassVar[bool] = True
    margin: ClassVar[int] = 12
    jitters: ClassVar[bool] = True
    kind: Literal["photo"] = "photo"
    chain: Literal["real-esrgan", "bsrgan"] = "real-esrgan"
    strength: Ramped = fixed(1.0)
    second: Ramped = fixed(1.0)
    webp: Share = 0.0

    @model_validator(mode="after")
    def _shares(self) -> "PhotoTask":
        for name in ("strength", "second"):
            ramp: Ramp = getattr(self, name)
            if max(*ramp.first, *ramp.last) > 1:
                raise ValueError(f"{name} must lie in [0, 1]")
        if self.chain == "bsrgan" and self.second != fixed(1.0):
            raise ValueError("second is a share of real-esrgan's second rounds; bsrgan has none")
        return self

    def draw(
        self, generator: torch.Generator, *, size: tuple[int, int], scale: int, share: float = 1.0
    ) -> list[Operation]:
        """Draw the chain's operations."""
        return self.chain_at(share).draw(generator, size=size, scale=scale)

    def chain_at(self, share: float) -> TwoRounds | Shuffled:
        """Return the chain of degradations at a share of the run."""
        strength = self.strength.number(share)
        if self.chain == "bsrgan":
            return replace(BSRGAN.softened(strength), webp=self.webp)
        return replace(REAL_ESRGAN.softened(strength), webp=self.webp, twice=self.second.number(share))

    def ramps(self) -> dict[str, Ramp]:
        """Return the ranges of the task by name; `second` where the chain has a second round."""
        ramps = super().ramps()
        return ramps if self.chain == "real-esrgan" else {"strength": ramps["strength"]}
