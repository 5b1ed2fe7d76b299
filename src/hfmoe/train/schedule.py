"""What changes over a run, as pure functions of the step."""

import math
from collections.abc import Sequence

from hfmoe.train.sections import Optimizer, Perturb


def learning_rate(step: int, *, steps: int, optimizer: Optimizer) -> float:
    """Linear warm-up to `lr`, which holds until the last share `decay` of the run, a cosine to `final_lr`.

    With `decay` 1 the cosine begins right after the warm-up. A rate that holds leaves a run's length open
    (Hägele et al., "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations", 2024).
    """
    warmup = round(optimizer.warmup * steps)
    if step < warmup:
        return optimizer.lr * (step + 1) / warmup
    begin = max(warmup, round((1 - optimizer.decay) * steps))
    done = max(0, step - begin) / max(1, steps - 1 - begin)
    return optimizer.final_lr + (optimizer.lr - optimizer.final_lr) * (1 + math.cos(math.pi * done)) / 2


def router_temperature(step: int, *, steps: int, perturb: Perturb) -> float:
    """Linear from the start to the end temperature, reached at the given share of the run."""
    length = perturb.temperature_until * (steps - 1)
    done = min(1.0, step / length) if length > 0 else 1.0
    return perturb.temperature_start + (perturb.temperature_end - perturb.temperature_start) * done


def patch_size(step: int, *, steps: int, sizes: Sequence[tuple[float, int]]) -> int:
    """Give the last patch whose share of the run has been reached."""
    return [size for share, size in sorted(sizes) if step >= share * steps][-1]


def average_decay(step: int, *, decay: float) -> float:
    """Give the decay of the weight average: (1 + step) / (10 + step) at first, never above `decay`."""
    return min(decay, (1 + step) / (10 + step))
