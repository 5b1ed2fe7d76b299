"""Weights in shards: every process keeps a part of each tensor and has the whole only while it computes.

That is FSDP2: https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from hfmoe.nn.block import HybridWindowBlock
from hfmoe.nn.experts import Mixed, MoEFFN
from hfmoe.nn.texture import TextureBlock

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


def reaching(forward: Callable[..., Mixed], experts: nn.Module) -> Callable[..., Mixed]:
    """Wrap a mixture's forward so that experts that no window chose get zeros as gradients.

    Processes add their gradients block by block and would wait for each other if one had none to add.
    """

    def reached(*inputs: Any, **named: Any) -> Mixed:
        mixed = forward(*inputs, **named)
        if not torch.is_grad_enabled():
            return mixed
        nothing = 0 * torch.stack([weight.flatten()[0] for weight in experts.parameters()]).sum()
        return mixed._replace(z=mixed.z + nothing)

    return reached


def gathered(value: Any) -> Any:
    """Replace shards inside nested mappings and lists by whole tensors; all processes must do it together."""
    if isinstance(value, DTensor):
        return value.full_tensor()
    if isinstance(value, Mapping):
        return {key: gathered(item) for key, item in value.items()}
    return [gathered(item) for item in value] if isinstance(value, list) else value


def shared_out(whole: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give each whole tensor the form of the tensor of its name: cut into the same shards, or as it is."""
    return {name: cut(value, like[name]) if name in like else value for name, value in whole.items()}


def shared_out_optimizer(state: Mapping[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Give the running means of an optimiser's state the form of the weights that they belong to."""
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
