"""A network behind torch.compile."""

from typing import Any

import torch
from torch import nn

from hfmoe.nn.experts import MoEFFN


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
