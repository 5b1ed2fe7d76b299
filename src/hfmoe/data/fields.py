"""Field types of recipes: frozen sections, numbers, shares of a run, and ranges that change over it."""

from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_serializer,
    model_validator,
)

from hfmoe.data.degradations.sampling import Range

Share = Annotated[float, Field(ge=0, le=1)]
"""A place in the run as a share of its steps, so that changing `steps` keeps the shape of the run."""

Positive = Annotated[int, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
JpegQuality = Annotated[int, Field(ge=1, le=100)]


class Section(BaseModel):
    """A part of a recipe: values never change, unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Scheduled(Section):
    """A part that counts from one share of the run until another."""

    start: Share = 0.0
    until: Share = 1.0

    @model_validator(mode="after")
    def _lasts(self) -> "Scheduled":
        if self.start >= self.until:
            raise ValueError(f"start {self.start} must be below until {self.until}")
        return self


class Ramp(Section):
    """A range that moves linearly from one place to another between two shares of the run."""

    first: Range = Field(alias="from")
    last: Range = Field(alias="to")
    start: Share = 0.0
    until: Share = 1.0

    @model_validator(mode="after")
    def _ordered(self) -> "Ramp":
        for low, high in (self.first, self.last):
            if not 0 <= low <= high:
                raise ValueError(f"a range [{low:g}, {high:g}] must go upward from at least 0")
        if self.start > self.until:
            raise ValueError(f"start {self.start} must not be after until {self.until}")
        return self

    @model_serializer
    def _plain(self) -> dict[str, Any]:
        if self.first == self.last:
            return {"from": self.first, "to": self.last}
        return {"from": self.first, "to": self.last, "start": self.start, "until": self.until}

    def at(self, share: float) -> Range:
        """Return the range at a share of the run."""
        length = self.until - self.start
        done = min(1.0, max(0.0, (share - self.start) / length)) if length else float(share >= self.until)
        low, high = (a + (b - a) * done for a, b in zip(self.first, self.last, strict=True))
        return low, high

    def number(self, share: float) -> float:
        """Return the middle of the range at a share of the run: the number, where one was given."""
        return sum(self.at(share)) / 2

    def moves(self, share: float) -> bool:
        """Return whether it changes right after a share of the run."""
        return self.first != self.last and self.start <= share < self.until


def _as_ramp(value: Any) -> Any:
    """A number stands for both ends of a range, a range for one that does not change."""
    if isinstance(value, dict):
        return {name: _as_range(item) if name in ("from", "to") else item for name, item in value.items()}
    return value if isinstance(value, Ramp) else {"from": _as_range(value), "to": _as_range(value)}


def _as_range(value: Any) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return (value, value) if number else value


def _as_quality(ramp: Ramp) -> Ramp:
    for low, high in (ramp.first, ramp.last):
        if not 1 <= low <= high <= 100:
            raise ValueError(f"quality [{low:g}, {high:g}] must lie in [1, 100]")
    return ramp


Ramped = Annotated[Ramp, BeforeValidator(_as_ramp)]
RampedQuality = Annotated[Ramped, AfterValidator(_as_quality)]


def fixed(low: float, high: float | None = None) -> Ramp:
    """Return a range that stays."""
    span = (low, low if high is None else high)
    return Ramp.model_validate({"from": span, "to": span})
