"""Less memory for more time: blocks forget their activations and compute them again for the gradients."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from hfmoe.nn.block import HybridWindowBlock
from hfmoe.nn.routing import Perturbation
from hfmoe.nn.texture import TextureBlock


def checkpoint_activations(network: nn.Module) -> None:
    """Let every attention and texture block of a network compute itself again in the backward pass.

    Output and gradients stay the same, the draws of a perturbation included: its generator is put back for
    the second computation and then moved on again.
    """
    for module in network.modules():
        if isinstance(module, HybridWindowBlock | TextureBlock):
            module.forward = recomputed(module.forward)


def recomputed(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a module's forward so that its activations are computed twice instead of kept."""

    def twice(*inputs: Any, **named: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*inputs, **named)
        perturb = named.get("perturb")
        if perturb is None:
            return checkpoint(forward, *inputs, use_reentrant=False, **named)
        memory = Memory(perturb)
        named = {**named, "perturb": perturb._replace(average=perturb.average and memory.average)}
        contexts = nullcontext(), memory.repeating()
        return checkpoint(forward, *inputs, use_reentrant=False, context_fn=lambda: contexts, **named)

    return twice


class Memory:
    """What the second computation of a block takes from the first: the place in the draws, and the means
    over the processes, which would come to the same question in different orders while they go backward."""

    def __init__(self, perturb: Perturbation) -> None:
        self._generator = perturb.generator
        self._state = perturb.generator.get_state() if perturb.generator else None
        self._average = perturb.average
        self._means: list[Tensor] = []
        self._again: Iterator[Tensor] | None = None

    def average(self, value: Tensor) -> Tensor:
        """Ask the processes the first time, remember what they said the second."""
        if self._again is not None:
            return next(self._again)
        assert self._average is not None
        self._means.append(self._average(value))
        return self._means[-1]

    @contextmanager
    def repeating(self) -> Iterator[None]:
        """Repeat the draws and means of the first computation, then put the generator back."""
        self._again = iter(self._means)
        if self._generator is None or self._state is None:
            yield
            return
        present = self._generator.get_state()
        self._generator.set_state(self._state)
        try:
            yield
        finally:
            self._generator.set_state(present)
