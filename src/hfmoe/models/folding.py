"""Folding: the same network with every re-parameterised convolution made ordinary."""

import copy

from torch import nn

from hfmoe.models.network import HFMoE
from hfmoe.nn.repconv import RepConv
from hfmoe.nn.texture import ScaledConv


def fold(network: HFMoE) -> HFMoE:
    """A copy with branches and residual scales multiplied into ordinary convolutions; output equal to
    1e-5, fewer parameters.

    The copy is for inference: its tensors no longer fit its configuration, so save the original.
    """
    folded = copy.deepcopy(network)
    for parent in list(folded.modules()):
        for name, child in parent.named_children():
            if isinstance(child, RepConv | ScaledConv):
                setattr(parent, name, child.fold())
            if isinstance(child, nn.SiLU):
                setattr(parent, name, nn.SiLU(inplace=True))
    return folded.eval()


def is_folded(network: nn.Module) -> bool:
    """Whether no re-parameterised convolution is left."""
    return not any(isinstance(module, RepConv | ScaledConv) for module in network.modules())
