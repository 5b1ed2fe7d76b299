"""Devices, threads and determinism of a run."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.utils.deterministic as determinism
from lightning_fabric import Fabric

from hfmoe.train.recipe import Hardware

FILLING = "fill_uninitialized_memory"
"""Whether deterministic torch also fills every new tensor, which costs time and changes nothing here."""


@contextmanager
def numerics(hardware: Hardware) -> Iterator[Fabric]:
    """Launch Fabric with the recipe's threads and choice of determinism, and put those of before back."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(hardware.threads or before[0])
    torch.use_deterministic_algorithms(hardware.deterministic, warn_only=True)
    filling = getattr(determinism, FILLING)
    setattr(determinism, FILLING, False)
    try:
        fabric = Fabric(
            accelerator=hardware.accelerator,
            devices=hardware.devices,
            strategy=hardware.strategy,
            precision=hardware.precision,
        )
        fabric.launch()
        yield fabric
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
        setattr(determinism, FILLING, filling)
