"""Diagnosis of a loss or gradient that is not finite: the state, the batch, a module, or a gradient."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from hfmoe.data import Pair
from hfmoe.train.hardware import of_all
from hfmoe.train.learner import Learner

DISCRIMINATOR = "discriminator."
"""Prefix of the names of the discriminator's modules and weights."""


class NonFinite(NamedTuple):
    """Values of a step that are not finite: names of losses, or "gradient norm".

    Where that was in the step of the discriminator, `restored` is the image that it was given.
    """

    terms: tuple[str, ...]
    restored: Tensor | None = None


class Cause(NamedTuple):
    """Cause of a fault, in words, and the module if it was one.

    `lasting` says that the state itself is damaged, so that leaving out steps would not help.
    """

    what: str
    module: str | None = None
    lasting: bool = False


def non_finite(fabric: Fabric, losses: Mapping[str, Tensor], *, restored: Tensor | None = None) -> NonFinite:
    """Name what is not finite in any process: the gradient norm where no loss is."""
    named = [name for name, value in losses.items() if not value.isfinite()]
    seen = dict.fromkeys(name for names in of_all(fabric, named) for name in names)
    own = [name for name in seen if name != "total" and not name.endswith("gradient_norm")]
    return NonFinite(tuple(own or seen) or ("gradient norm",), restored)


def diagnose(
    fabric: Fabric, learner: Learner, pair: Pair, *, again: Callable[[], object], compiled: bool
) -> Cause:
    """Find the cause of a fault; all processes must ask.

    `again` computes the losses and gradients of the same step once more, leaving the gradients in place.
    """
    damage = fabric.broadcast(damaged(learner, learner.state()))
    if damage:
        return Cause(damage, lasting=True)
    cause = first_known(of_all(fabric, in_batch(pair)))
    if cause:
        return cause
    stance = "force_eager" if compiled else "default"
    modules = modules_of(learner)
    with torch.compiler.set_stance(stance), observed(modules) as trace:
        again()
    cause = trace.cause or in_gradients(modules, trace.order)
    for module in modules.values():
        module.zero_grad(set_to_none=True)
    unknown = Cause("it was not seen again when the step was computed once more: an error of the moment")
    return first_known(of_all(fabric, cause)) or unknown


def first_known(causes: Iterable[Cause | None]) -> Cause | None:
    """Return the cause that the first process found which found any."""
    return next((cause for cause in causes if cause), None)


def damaged(learner: Learner, state: Mapping[str, Any]) -> str | None:
    """Name the first tensor that is not finite in the state of all that learns.

    Optimisers come first: they take no gradient that is not finite, and spoil the weights of the next step.
    """
    owners: list[tuple[str, nn.Module, Mapping[str, Any]]] = [("", learner.network, state)]
    if learner.discriminator:
        owners.append((DISCRIMINATOR, learner.discriminator.network, state["adversary"]))
    for prefix, network, own in owners:
        names = [name for name, weight in network.named_parameters() if weight.requires_grad]
        for place, means in own["optimizer"]["state"].items():
            if broken := first_broken(means):
                return f"{broken} of {prefix}{names[place]} in the optimiser is not finite"
    for prefix, _, own in owners:
        if broken := first_broken(own["network"]):
            return f"the weight {prefix}{broken} is not finite"
    broken = first_broken(state["average"])
    return f"the weight average of {broken} is not finite" if broken else None


def first_broken(tensors: Mapping[str, Any]) -> str | None:
    """Name the first tensor that is not finite."""
    return next((name for name, value in tensors.items() if not finite(value)), None)


def modules_of(learner: Learner) -> dict[str, nn.Module]:
    """Name the modules of the network, and those of the discriminator with its prefix."""
    modules = dict(learner.network.named_modules())
    if learner.discriminator:
        inner = learner.discriminator.network.named_modules(prefix=DISCRIMINATOR.rstrip("."))
        modules |= dict(inner)
    return {name: module for name, module in modules.items() if name}


def in_batch(pair: Pair) -> Cause | None:
    """Name the images of a batch that are not finite."""
    for side, images in pair.images().items():
        bad = [number for number, image in enumerate(images, 1) if not image.isfinite().all()]
        if bad:
            return Cause(f"the batch: {side} image {', '.join(map(str, bad))} of {len(images)} is not finite")
    return None


def in_gradients(modules: Mapping[str, nn.Module], order: Iterable[str]) -> Cause | None:
    """Name the module whose gradient is the first not to be finite, going backward."""
    for module in reversed(list(order)):
        for name, weight in modules[module].named_parameters(recurse=False):
            if weight.grad is not None and not finite(weight.grad):
                return Cause(f"the gradient of {module}.{name} is not finite", module)
    return None


class Trace:
    """The modules of a forward pass in the order in which they ended, and the first that broke."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.cause: Cause | None = None

    def see(self, name: str, module: nn.Module, args: Any, named: Any, output: Any) -> None:
        """Look at what a module was given and what it gave."""
        self.order.append(name)
        if self.cause is None and not finite(output) and finite(args) and finite(named):
            self.cause = Cause(f"{name} gave values that are not finite for values that are", name)


@contextmanager
def observed(modules: Mapping[str, nn.Module]) -> Iterator[Trace]:
    """Trace modules while the block runs."""
    trace = Trace()
    handles = [
        module.register_forward_hook(partial(trace.see, name), with_kwargs=True)
        for name, module in modules.items()
    ]
    try:
        yield trace
    finally:
        for handle in handles:
            handle.remove()


def finite(value: Any) -> bool:
    """Return whether all numbers of the tensors inside nested containers are finite."""
    if isinstance(value, DTensor):
        value = value.to_local()
    if isinstance(value, Tensor):
        return not value.is_floating_point() or bool(value.isfinite().all())
    if isinstance(value, Mapping):
        return all(map(finite, value.values()))
    return all(map(finite, value)) if isinstance(value, list | tuple) else True
