"""Devices, threads and determinism of a run."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lightning_fabric import Fabric

from hfmoe.train.recipe import Hardware


@contextmanager
def numerics(hardware: Hardware) -> Iterator[Fabric]:
    """Launch Fabric with the recipe's threads and choice of determinism, and put those of before back."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(hardware.threads or before[0])
    torch.use_deterministic_algorithms(hardware.deterministic, warn_only=True)
    filling = torch.utils.deterministic.fill_uninitialized_memory
    torch.utils.deterministic.fill_uninitialized_memory = False
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
        torch.utils.deterministic.fill_uninitialized_memory = filling
