"""AdamW or Muon for a network, and how either continues from a state of the other."""

from typing import Any

import torch
from torch import nn

from hfmoe.train.execution import shared_out_optimizer
from hfmoe.train.fields import Optimizer
from hfmoe.train.muon import Muon, matrices_of


def make_optimizer(network: nn.Module, fields: Optimizer, *, fused: bool = True) -> torch.optim.Optimizer:
    """AdamW or Muon over the parameters that train; weight decay is decoupled from the gradient.

    `fused` excludes clipping the gradients of float16: they are then unscaled inside the step.
    """
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    rule: dict[str, Any] = {"lr": fields.lr, "betas": fields.betas, "weight_decay": fields.weight_decay}
    if fields.kind == "muon":
        return Muon(trained, matrices=matrices_of(network), **rule, fused=fused)
    return torch.optim.AdamW(trained, **rule, fused=fused)


def restore_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Take over the running means of AdamW or Muon; betas, decay and the rest stay what they are.

    The rate of the last step, which the next one sets anew, comes with the means.
    """
    groups = zip(optimizer.state_dict()["param_groups"], state["param_groups"], strict=True)
    kept = {**state, "param_groups": [{**own, "lr": before["lr"]} for own, before in groups]}
    if not isinstance(optimizer, Muon):
        kept["state"] = _with_second_moments(state["state"])
    optimizer.load_state_dict(shared_out_optimizer(kept, optimizer))


def _with_second_moments(means: dict[Any, dict[str, Any]]) -> dict[Any, dict[str, Any]]:
    """Leave out what AdamW cannot go on from: means of which Muon kept the first alone."""
    return {place: values for place, values in means.items() if "exp_avg_sq" in values}
