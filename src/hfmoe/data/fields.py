"""Field types of recipes: frozen sections, positive numbers, and shares of a run."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0, le=1)]
"""A moment of the run as a share of its steps, so that changing `steps` keeps the shape of the run."""

Positive = Annotated[int, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Section(BaseModel):
    """A part of a recipe: values never change, unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Lasting(Section):
    """A part that counts from one share of the run until another."""

    start: Share = 0.0
    until: Share = 1.0

    @model_validator(mode="after")
    def _lasts(self) -> "Lasting":
        if self.start >= self.until:
            raise ValueError(f"start {self.start} must be below until {self.until}")
        return self
