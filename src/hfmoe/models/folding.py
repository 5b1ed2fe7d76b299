"""Folding: the same network with every re-parameterised convolution made ordinary."""

import copy
from typing import TypeVar

from torch import nn

from hfmoe.models.network import HFMoE
from hfmoe.nn.repconv import RepConv
from hfmoe.nn.texture import ScaledConv

Folding = TypeVar("Folding", bound=nn.Module)


def fold(network: Folding, *, in_place: bool = True) -> Folding:
    """A copy with branches and residual scales multiplied into ordinary convolutions; output equal to
    1e-5, fewer parameters. in_place: activations overwrite what they read, where that is ours.

    The copy is for inference: its tensors no longer fit its configuration, so save the original. Networks
    that are not ours may read twice what an activation takes, so that theirs do not work in place.
    """
    folded = copy.deepcopy(network)
    for parent in list(folded.modules()):
        for name, child in parent.named_children():
            if isinstance(child, RepConv | ScaledConv):
                setattr(parent, name, child.fold())
            if isinstance(child, nn.SiLU) and isinstance(network, HFMoE):
                setattr(parent, name, nn.SiLU(inplace=in_place))
    return folded.eval()


def is_folded(network: nn.Module) -> bool:
    """Return whether no re-parameterised convolution is left."""
    return not any(isinstance(module, RepConv | ScaledConv) for module in network.modules())
