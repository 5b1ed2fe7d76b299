"""Numbers sampled from a generator."""

from collections.abc import Sequence
from typing import TypeVar

import torch

Range = tuple[float, float]
Item = TypeVar("Item")


def uniform(generator: torch.Generator, bounds: Range) -> float:
    """Draw a number between two."""
    low, high = bounds
    return low + (high - low) * torch.rand((), generator=generator, dtype=torch.float64).item()


def chance(generator: torch.Generator, share: float) -> bool:
    """Draw true in a share of all cases."""
    return uniform(generator, (0.0, 1.0)) < share


def whole(generator: torch.Generator, bounds: Range) -> int:
    """Draw a whole number, both ends included (each rounded)."""
    low, high = round(bounds[0]), round(bounds[1])
    return low + int(torch.randint(high - low + 1, (), generator=generator).item())


def choice(generator: torch.Generator, items: Sequence[Item], weights: Sequence[float] | None = None) -> Item:
    """Draw one of several items, by weights where they are given."""
    if weights is None:
        return items[int(torch.randint(len(items), (), generator=generator).item())]
    place = uniform(generator, (0.0, sum(weights)))
    for item, weight in zip(items, weights, strict=True):
        place -= weight
        if place < 0:
            return item
    return next(item for item, weight in zip(reversed(items), reversed(weights), strict=True) if weight > 0)


def draw_seed(generator: torch.Generator) -> int:
    """Draw the seed of another generator."""
    return int(torch.randint(2**53, (), generator=generator).item())


def between(mild: Range, full: Range, strength: float) -> Range:
    """Go from one range to another."""
    low, high = ((1 - strength) * a + strength * b for a, b in zip(mild, full, strict=True))
    return low, high
