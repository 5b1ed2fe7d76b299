"""A running average of a network's weights."""

from copy import deepcopy
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


class WeightAverage(Generic[Network]):
    """Owns a copy of a network whose weights follow the original: average += (1 - decay) (weights - average).

    Buffers and weights that do not train are copied as they are. A `copy` made before becomes the average.
    """

    def __init__(self, network: Network, *, copy: Network | None = None) -> None:
        self.network = deepcopy(network) if copy is None else copy
        self.network.requires_grad_(False).eval()
        pairs = list(zip(self.network.parameters(), network.parameters(), strict=True))
        self._trained = [pair for pair in pairs if pair[1].requires_grad]
        self._copied: list[tuple[Tensor, Tensor]] = [pair for pair in pairs if not pair[1].requires_grad]
        self._copied.extend(zip(self.network.buffers(), network.buffers(), strict=True))

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """Move the average toward the present weights by 1 - decay."""
        averages, weights = map(list, zip(*self._trained, strict=True))
        torch._foreach_lerp_(averages, weights, 1 - decay)  # pyright: ignore[reportPrivateImportUsage]
        for average, value in self._copied:
            average.copy_(value)
