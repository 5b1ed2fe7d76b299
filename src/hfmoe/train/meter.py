"""What happened in the steps since the last look, kept on the device until someone looks."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from hfmoe.models.network import LayerRouting


class NonFiniteError(ValueError):
    """A loss term or the gradient is not finite; names the step and the term."""


class Meter:
    """Collects losses and gradient norms without waiting for the device, and the time that steps took.

    `average` gives the mean over the processes of a run; all of them look at the same steps.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.perf_counter,
        *,
        average: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self._clock = clock
        self._average = average
        self._pending: list[tuple[int, tuple[str, ...], Tensor]] = []
        self._sums: dict[str, list[float]] = {}
        self._loads: list[Tensor] = []
        self._steps = 0
        self._images, self._waited, self._spent = 0, 0.0, 0.0

    def wait_for(self, make: Callable[[], Any]) -> Any:
        """Give what `make` makes, counting the time as waiting for data."""
        begin = self._clock()
        made = make()
        self._waited += self._clock() - begin
        self._spent += self._clock() - begin
        return made

    def note(
        self,
        step: int,
        losses: dict[str, Tensor],
        *,
        norm: Tensor,
        routing: tuple[LayerRouting, ...],
        images: int,
        seconds: float,
    ) -> None:
        """Remember a step."""
        values = [*losses.values(), norm]
        row = torch.stack([value.detach().float() for value in values])
        self._pending.append((step, (*losses, "gradient norm"), row))
        self._add_loads(routing)
        self._images += images
        self._spent += seconds

    def _add_loads(self, routing: tuple[LayerRouting, ...]) -> None:
        """Add a step's expert loads on their device, which nobody waits for here."""
        loads = [layer.load.detach().float() for layer in routing]
        for total, load in zip(self._loads, loads, strict=bool(self._loads)):
            total.add_(load)
        self._loads = self._loads or [load.clone() for load in loads]
        self._steps += 1

    def check(self) -> None:
        """Look at the steps since the last look. Raises NonFiniteError naming the first bad step and term."""
        if not self._pending:
            return
        rows = [row for _, _, row in self._pending]
        if self._average is not None:
            rows = self._average(torch.cat(rows)).split([len(row) for row in rows])
        for (step, names, _), row in zip(self._pending, rows, strict=True):
            for name, value in zip(names, row.tolist(), strict=True):
                if not math.isfinite(value):
                    raise NonFiniteError(f"step {step}: {name} is {value}")
                self._sums.setdefault(name, []).append(value)
        self._pending.clear()

    def read(self) -> dict[str, Any]:
        """Give means over the steps since the last reading: losses, expert load by layer, its evenness,
        images per second, share of time waiting."""
        self.check()
        means = {name: sum(values) / len(values) for name, values in self._sums.items()}
        norm = means.pop("gradient norm", 0.0)
        spent = max(self._spent, 1e-9)
        loads = [(total / self._steps).tolist() for total in self._loads]
        result = {
            "loss": means,
            "gradient_norm": norm,
            "load": loads,
            "evenness": [evenness(shares) for shares in loads],
            "images_per_second": self._images / spent,
            "waiting": self._waited / spent,
        }
        self._sums, self._images, self._waited, self._spent = {}, 0, 0.0, 0.0
        self._loads, self._steps = [], 0
        return result


def evenness(shares: Sequence[float]) -> float:
    """Entropy of expert shares over its most: 0 where one expert gets all, 1 where all get the same."""
    entropy = -sum(share * math.log(share) for share in shares if share > 0)
    return max(0.0, entropy) / math.log(len(shares)) if len(shares) > 1 else 1.0
