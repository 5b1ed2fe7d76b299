"""Losses, gradient norms, expert loads and speed since the last record; an alarm for collapsed routing."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
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
        """Return what `make` makes, counting the time as waiting for data."""
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
        """Return means over the steps since the last reading: losses, expert load by layer, its evenness,
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


LOOKS = 3
"""Looks in a row at which a load must be out of its bounds, or back inside, before it is told."""


class RoutingAlarm:
    """Tells once when an expert's load leaves its bounds for some looks, and once when it is back.

    `priors` are the target loads by layer; `bounds` (low, high) mean loads from low x prior up to
    prior + high x (1 - prior).
    """

    def __init__(self, priors: Sequence[Sequence[float]], bounds: tuple[float, float]) -> None:
        self._priors = priors
        self._low, self._high = bounds
        self._out: set[tuple[int, int]] = set()
        self._against: dict[tuple[int, int], int] = {}

    def check(self, loads: Sequence[Sequence[float]], *, step: int) -> list[dict[str, Any]]:
        """Return the alarms that begin or end with the mean loads since the check before."""
        records = []
        for layer, (priors, shares) in enumerate(zip(self._priors, loads, strict=False), 1):
            for expert, (prior, share) in enumerate(zip(priors, shares, strict=True), 1):
                bounds = (self._low * prior, prior + self._high * (1 - prior))
                if self._turned((layer, expert), out=not bounds[0] <= share <= bounds[1]):
                    records.append(self._record(layer, expert, share, prior, bounds, step))
        return records

    def state(self) -> dict[str, list[list[int]]]:
        """Return what was told and what is being counted as plain values, for a checkpoint."""
        against = [[*place, looks] for place, looks in sorted(self._against.items())]
        return {"out": [list(place) for place in sorted(self._out)], "against": against}

    def restore(self, state: Mapping[str, Sequence[Sequence[int]]]) -> None:
        """Go on from a state: what was told is not told again, and looks in a row go on counting."""
        self._out = {(layer, expert) for layer, expert in state["out"]}
        self._against = {(layer, expert): looks for layer, expert, looks in state["against"]}

    def _turned(self, place: tuple[int, int], *, out: bool) -> bool:
        """Count looks that contradict what was told last of an expert; true when they are enough."""
        if out == (place in self._out):
            self._against.pop(place, None)
            return False
        self._against[place] = self._against.get(place, 0) + 1
        if self._against[place] < LOOKS:
            return False
        del self._against[place]
        self._out ^= {place}
        return True

    def _record(
        self, layer: int, expert: int, share: float, prior: float, bounds: tuple[float, float], step: int
    ) -> dict[str, Any]:
        out = (layer, expert) in self._out
        state = "out of" if out else "back within"
        what = (
            f"the load of expert {expert} in layer {layer}, {share:.2%}, is {state} "
            f"{bounds[0]:.2%} to {bounds[1]:.2%}; its prior is {prior:.2%}"
        )
        place = {"layer": layer, "expert": expert, "share": share, "prior": prior}
        return {"kind": "alarm", "step": step, "what": what, **place, "collapsed": out}
