"""Less memory for more time: blocks forget their activations and compute them again for the gradients."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from hfmoe.models.network import HFMoE
from hfmoe.nn.block import HybridWindowBlock
from hfmoe.nn.routing import Perturbation
from hfmoe.nn.texture import TextureBlock


def checkpoint_activations(network: HFMoE) -> None:
    """Let every attention and texture block of a network recompute itself in the backward pass.

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
        generator = perturb.generator if isinstance(perturb, Perturbation) else None
        return checkpoint(
            forward, *inputs, use_reentrant=False, context_fn=lambda: same_draws(generator), **named
        )

    return twice


def same_draws(
    generator: torch.Generator | None,
) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Contexts of the first and the second computation, between which a generator repeats its draws."""
    if generator is None:
        return nullcontext(), nullcontext()
    state = generator.get_state()
    return nullcontext(), replaying(generator, state)


@contextmanager
def replaying(generator: torch.Generator, state: torch.Tensor) -> Iterator[None]:
    """Draw from an earlier state of a generator, then put its present one back."""
    present = generator.get_state()
    generator.set_state(state)
    try:
        yield
    finally:
        generator.set_state(present)
