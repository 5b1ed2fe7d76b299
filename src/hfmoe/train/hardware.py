"""The fields of a recipe that say where and how precisely it runs."""

from typing import Literal

from hfmoe.train.section import Positive, Section


class Hardware(Section):
    """Where and how precisely it runs, in the terms of Lightning Fabric.

    devices: processes on this machine, one a device; nodes: machines; they share every batch. accumulate:
    parts that a process cuts its share into, one after another. compile: torch.compile the network.
    recompute: compute activations twice instead of keeping them; null does so for the presets base and
    large, unless compiled.
    """

    accelerator: str = "auto"
    devices: Positive = 1
    nodes: Positive = 1
    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    accumulate: Positive = 1
    compile: bool = False
    recompute: bool | None = None
    threads: Positive | None = None
    deterministic: bool = True
