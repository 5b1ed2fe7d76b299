"""How far a run is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Standing:
    """Steps done, the best and the latest validation PSNR so far, and the faults that still count.

    `skipped` are the steps left out in the present window, counted from 1; `rollbacks` counts returns to a
    state kept before. `spent` is the processor time in seconds that went into steps; what a kill undid does
    not count.
    """

    step: int = 0
    best: float | None = None
    latest: float | None = None
    skipped: tuple[int, ...] = ()
    rollbacks: int = 0
    spent: float = 0.0
