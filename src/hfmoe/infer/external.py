"""Community networks as restorers: their tiles by their own advice, and the memory of a run, measured."""

import weakref
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from hfmoe.infer.eager import Eager, choose_autocast, choose_device
from hfmoe.infer.restorer import Restorer
from hfmoe.infer.tiles import OVERLAP, TileGeometry
from hfmoe.models.external import CommunityNetwork, open_external

HALO = {"supported": 32, "discouraged": 64, "internal": 0}
"""Pixels that a tile sees and does not give, by spandrel's advice, which does not say how far it looks."""
GAIN = 48
"""Pixels that the smallest tile adds to its neighbour, at least: networks of any size know no grid."""
WHOLE = 2**24
"""Least side of a tile of a network that wants the whole image: more than any image's."""
PROBE = 32
"""Side of the image that memory is measured with."""
SCRATCH = 1.5
"""Memory of a run over that of its tensors: buffers inside convolutions, and freed memory between."""


def load_external(path: Path, *, device: str = "auto", autocast: str = "off") -> Restorer:
    """Open a community network as a restorer. Raises WeightsError, ImportError without spandrel, and
    ValueError for a device or number format that is not there."""
    place, kind = choose_device(device), choose_autocast(autocast)
    network = open_external(path)
    geometry = external_geometry(network)
    return Restorer(Eager(network.to(place), place, kind), geometry, network.facts)


def external_geometry(network: CommunityNetwork) -> TileGeometry:
    """Return the tile geometry of a network on the CPU, by its advice and one run on a small image."""
    halo = HALO[network.tiling]
    least = max(network.minimum, 2 * halo + OVERLAP + GAIN)
    return TileGeometry(
        scale=network.scale,
        multiple=network.multiple,
        halo=halo,
        overlap=OVERLAP,
        channels=network.channels,
        bytes_per_pixel=_bytes_per_pixel(network),
        least=WHOLE if network.tiling == "internal" else least,
    )


def _bytes_per_pixel(network: CommunityNetwork) -> int:
    side = max(network.minimum, PROBE + -PROBE % network.multiple)
    with torch.no_grad(), PeakBytes() as memory:
        network(torch.full((1, network.channels, side, side), 0.5))
    return max(1, int(SCRATCH * memory.peak / side**2))


class PeakBytes(TorchDispatchMode):
    """Counts the bytes of the tensors that operations make inside, and the most that lived at once."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._live: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and count its results."""
        made = func(*args, **(kwargs or {}))
        for tensor in tree_iter(made):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self._live:
            self._live[key] = storage.nbytes()
            weakref.finalize(storage, self._live.pop, key, None)
            self.peak = max(self.peak, sum(self._live.values()))
