"""How far a run is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Standing:
    """Steps done, and the best and the latest validation PSNR so far."""

    step: int = 0
    best: float | None = None
    latest: float | None = None
