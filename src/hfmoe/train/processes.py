"""What the processes of a run agree on: means of numbers, when to stop and save, what the first one found."""

import os
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.distributed import all_gather_object, is_torchelastic_launched

from hfmoe.train.recipe import Recipe

Found = TypeVar("Found")

ASK_EVERY = 8
"""Steps between two agreements of processes on accelerators: each waits for all of them."""


class Wishes(NamedTuple):
    """What shall follow a step: an end because of a signal, an end because time is up, a checkpoint."""

    signal: int | None = None
    out_of_time: bool = False
    save: bool = False


def averaging(fabric: Fabric) -> Callable[[Tensor], Tensor] | None:
    """Mean of a tensor over the processes; None where there is one process and nothing to average."""
    if fabric.world_size == 1:
        return None
    return lambda value: fabric.all_reduce(value.detach().clone(), reduce_op="mean")  # type: ignore[return-value]


def all_finite(fabric: Fabric, values: Iterable[Tensor]) -> bool:
    """Tell whether single numbers are finite in every process: one value that is waited for."""
    finite = torch.stack([value.detach().float() for value in values]).isfinite().all()
    if fabric.world_size > 1:
        finite = fabric.all_reduce(finite.int(), reduce_op="min")
    return bool(finite)


def of_all(fabric: Fabric, found: Found) -> list[Found]:
    """Give what every process found, in their order."""
    if fabric.world_size == 1:
        return [found]
    everything: list[Any] = [None] * fabric.world_size
    all_gather_object(everything, found)
    return everything


def agreed(fabric: Fabric, wishes: Wishes, *, step: int) -> Wishes:
    """Give what any process wishes, so that all of them stop and save after the same step.

    Many processes ask each other after every step on the CPU, every `ASK_EVERY` steps elsewhere.
    """
    if fabric.world_size == 1:
        return wishes
    if fabric.device.type != "cpu" and step % ASK_EVERY:
        return Wishes()
    numbers = torch.tensor([wishes.signal or 0, wishes.out_of_time, wishes.save], device=fabric.device)
    signal, out_of_time, save = fabric.all_reduce(numbers, reduce_op="max").tolist()  # type: ignore[union-attr]
    return Wishes(signal or None, bool(out_of_time), bool(save))


def from_first(fabric: Fabric, find: Callable[[], Found]) -> Found:
    """Let the first process alone find something and give it to all; its error is one of all."""
    if fabric.world_size == 1:
        return find()
    found = together(fabric, find if fabric.is_global_zero else lambda: None)
    return fabric.broadcast(found)  # type: ignore[return-value]


def together(fabric: Fabric, find: Callable[[], Found]) -> Found:
    """Let every process find something for itself, without asking others meanwhile.

    An error in any of them is raised in the first one and ends the others, so that it is said once.
    """
    if fabric.world_size == 1:
        return find()
    found: Found | None = None
    problem: Exception | None = None
    try:
        found = find()
    except Exception as error:
        problem = error
    for fault in filter(None, of_all(fabric, problem)):
        raise fault if fabric.is_global_zero else SystemExit(1)
    return found  # type: ignore[return-value]


def as_launched(recipe: Recipe) -> Recipe:
    """Give the recipe with the numbers of devices and nodes that torchrun started, if it did.

    Raises ValueError where the recipe names others, or where the batch cannot be shared among so many.
    """
    if not is_torchelastic_launched():
        return recipe
    total, local = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
    started, named = (local, total // local), (recipe.hardware.devices, recipe.hardware.nodes)
    if named not in ((1, 1), started):
        raise ValueError(
            f"hardware.devices {named[0]} and hardware.nodes {named[1]} must be left out, or be "
            f"{started[0]} and {started[1]} as torchrun started them"
        )
    data = recipe.as_data()
    data["hardware"] |= dict(zip(("devices", "nodes"), started, strict=True))
    return Recipe.model_validate(data)
