"""Execution of a network in training: compiled, with recomputed activations, or in shards (FSDP2)."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.utils.checkpoint import checkpoint

from hfmoe.nn.block import HybridWindowBlock
from hfmoe.nn.experts import MoEFFN
from hfmoe.nn.routing import Perturbation, Routed
from hfmoe.nn.texture import TextureBlock


def compiled(network: nn.Module) -> Any:
    """Compile a network for each patch size that it meets; its mixtures run as they are.

    Their temperature and the numbers of windows of their experts change with every step, and each change
    would compile anew. Sizes are fixed in the code: torch 2.13 cannot order the strides of open ones here.
    """
    for module in network.modules():
        if isinstance(module, MoEFFN):
            uncompiled: Any = torch.compiler.disable(module.forward)
            module.forward = uncompiled
    return torch.compile(network, dynamic=False)


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
    """State of a block's first computation for its second: the place in the draws, and the means
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


Network = TypeVar("Network", bound=nn.Module)


def shard(network: Network, mesh: DeviceMesh) -> Network:
    """Share out the tensors of a network in place, block by block, over the processes of a mesh."""
    processes = mesh["data_parallel"]
    for module in network.modules():
        if isinstance(module, MoEFFN):
            module.forward = reaching(module.forward, module.experts)
    for module in list(network.modules()):
        if isinstance(module, HybridWindowBlock | TextureBlock):
            fully_shard(module, mesh=processes)
    fully_shard(network, mesh=processes)
    return network


def reaching(forward: Callable[..., Routed], experts: nn.Module) -> Callable[..., Routed]:
    """Wrap a mixture's forward so that experts that no window chose get zeros as gradients.

    Processes add their gradients block by block and would wait for each other if one had none to add.
    """

    def reached(*inputs: Any, **named: Any) -> Routed:
        x, (routing,) = forward(*inputs, **named)
        if not torch.is_grad_enabled():
            return Routed(x, (routing,))
        nothing = 0 * torch.stack([weight.flatten()[0] for weight in experts.parameters()]).sum()
        return Routed(x, (routing._replace(z=routing.z + nothing),))

    return reached


def gathered(value: Any) -> Any:
    """Replace shards inside nested mappings and lists by whole tensors; all processes must do it together."""
    if isinstance(value, DTensor):
        return value.full_tensor()
    if isinstance(value, Mapping):
        return {key: gathered(item) for key, item in value.items()}
    return [gathered(item) for item in value] if isinstance(value, list) else value


def shared_out(whole: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return each whole tensor the form of the tensor of its name: cut into the same shards, or as it is."""
    return {name: cut(value, like[name]) if name in like else value for name, value in whole.items()}


def shared_out_optimizer(state: Mapping[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return the running means of an optimiser's state the form of the weights that they belong to."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    means = {
        place: {
            name: cut(value, weights[place]) if value.shape == weights[place].shape else value
            for name, value in values.items()
        }
        for place, values in state["state"].items()
    }
    return {**state, "state": means}


def cut(whole: Tensor, like: Tensor) -> Tensor:
    """Keep this process's shard of a tensor where `like` is in shards."""
    if not isinstance(like, DTensor):
        return whole
    return distribute_tensor(whole.to(like.device), like.device_mesh, like.placements)
