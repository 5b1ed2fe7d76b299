"""Which batch and patch to train with, chosen from measured training steps."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SHARE = 0.7
"""Share of free memory that a run may take: data, the system and growth need the rest."""

_CLOSE = 0.1


@dataclass(frozen=True)
class Trial:
    """Training steps measured at one batch and patch: median seconds a step, peak bytes of the process."""

    batch: int
    patch: int
    seconds: float
    peak: int

    @property
    def pixels(self) -> int:
        """Degraded pixels of a step."""
        return self.batch * self.patch**2

    @property
    def pixels_per_second(self) -> float:
        """Degraded pixels trained on in a second."""
        return self.pixels / self.seconds

    @property
    def images_per_second(self) -> float:
        """Crops trained on in a second."""
        return self.batch / self.seconds


@dataclass(frozen=True)
class MemoryFit:
    """Peak bytes as resting + per_pixel * batch * patch**2."""

    resting: float
    per_pixel: float

    @classmethod
    def of(cls, trials: Sequence[Trial]) -> "MemoryFit":
        """Fit the line by least squares, neither part negative; one trial alone is all per pixel."""
        if not trials:
            raise ValueError("no trial to fit memory to")
        pixels = np.array([trial.pixels for trial in trials], dtype=np.float64)
        peaks = np.array([trial.peak for trial in trials], dtype=np.float64)
        if np.ptp(pixels) == 0:
            return cls(0.0, float((peaks / pixels).max()))
        slope = max(float(np.polyfit(pixels, peaks, 1)[0]), 0.0)
        return cls(max(float((peaks - slope * pixels).mean()), 0.0), slope)

    def peak(self, batch: int, patch: int) -> float:
        """Predict the peak bytes of a step."""
        return self.resting + self.per_pixel * batch * patch**2

    def largest_batch(self, patch: int, limit: int) -> int:
        """Give the largest batch at a patch whose step stays within the limit; 0 where none does."""
        if self.per_pixel <= 0:
            return 0 if self.resting > limit else 1
        return max(int((limit - self.resting) / (self.per_pixel * patch**2)), 0)


def candidates(*, batch: int, patch: int, multiple: int, room: int | None) -> list[tuple[int, int]]:
    """List (batch, patch) to try, the smallest steps first, those of the recipe among them.

    Patches are multiples of the network's size multiple up to 4 of them or the recipe's patch, and no larger
    than `room`, the side of degraded pixels that most photos have.
    """
    patches = {multiple, 2 * multiple, patch}
    patches |= {3 * multiple, 4 * multiple} if patch > 2 * multiple else set()
    fitting = {size for size in patches if room is None or size <= room} or {min(patches)}
    pairs = {(count, size) for size in fitting for count in (1, 4, 16, 64) if count <= 4 * batch}
    pairs |= {(batch, size) for size in fitting}
    return sorted(pairs, key=lambda pair: (pair[0] * pair[1] ** 2, pair[1]))


def choose(trials: Sequence[Trial], *, limit: int) -> Trial | None:
    """Choose the trial within the limit of bytes that trains on most pixels a second; None where none fits.

    Of those within 10 % of the best the one with the most pixels a step wins, whose gradient is the calmest.
    """
    fitting = [trial for trial in trials if trial.peak <= limit]
    if not fitting:
        return None
    best = max(trial.pixels_per_second for trial in fitting)
    close = [trial for trial in fitting if trial.pixels_per_second >= (1 - _CLOSE) * best]
    return max(close, key=lambda trial: (trial.pixels, trial.patch))
