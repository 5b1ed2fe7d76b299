"""A routing that collapses: an expert that gets next to nothing, or next to all, look after look."""

from collections.abc import Mapping, Sequence
from typing import Any

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

    def look(self, loads: Sequence[Sequence[float]], *, step: int) -> list[dict[str, Any]]:
        """Give the records of what begins or ends with a look at the mean loads since the one before."""
        records = []
        for layer, (priors, shares) in enumerate(zip(self._priors, loads, strict=False), 1):
            for expert, (prior, share) in enumerate(zip(priors, shares, strict=True), 1):
                bounds = (self._low * prior, prior + self._high * (1 - prior))
                if self._turned((layer, expert), out=not bounds[0] <= share <= bounds[1]):
                    records.append(self._record(layer, expert, share, prior, bounds, step))
        return records

    def state(self) -> dict[str, list[list[int]]]:
        """Give what was told and what is being counted as plain values, for a checkpoint."""
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
