"""The optimiser: AdamW or Muon, how either continues from a state of the other, and a step with clipping."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor, nn

from hfmoe.train.execution import gathered, shared_out_optimizer
from hfmoe.train.fields import Optimizer
from hfmoe.train.hardware import all_finite
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


class Descent(NamedTuple):
    """The norm of the gradients before clipping, and whether losses and gradients were finite."""

    norm: Float[Tensor, ""]
    finite: bool


def descend(
    fabric: Fabric,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    losses: Mapping[str, Tensor],
    lr: float,
    clip: float | None,
) -> Descent:
    """Follow the gradients by one optimiser step, in no process where a loss or their norm is not finite.

    Such a step changes nothing. To know it costs the wait for one number, where mixtures wait for the device
    in every layer. Under float16 gradients that overflow by the loss scale are no fault: their step is left
    out, the scale is halved, and their norm is given as 0; at a scale of 1 or less they are one.
    """
    scaler = getattr(fabric.strategy.precision, "scaler", None)
    if scaler is not None and not all_finite(fabric, losses.values()):
        optimizer.zero_grad(set_to_none=True)
        return Descent(torch.zeros((), device=fabric.device), finite=False)
    norm = clip_gradients(fabric, network, optimizer, most=clip or float("inf"))
    finite = all_finite(fabric, [*losses.values(), norm])
    if finite or scaler is not None:
        for group in optimizer.param_groups:
            group["lr"] = lr
        finite = finite or scaler.get_scale() > 1  # type: ignore[union-attr]
        optimizer.step()
        norm = torch.where(norm.isfinite(), norm, 0)
    optimizer.zero_grad(set_to_none=True)
    return Descent(norm, finite)


def clip_gradients(
    fabric: Fabric, network: nn.Module, optimizer: torch.optim.Optimizer, *, most: float
) -> Float[Tensor, ""]:
    """Clip gradients to the norm `most`, unscaled from float16; returns the norm before."""
    weights = (weight for group in optimizer.param_groups for weight in group["params"])
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    plain = getattr(fabric.strategy.precision, "scaler", None) is None
    if gradients and plain and all(type(gradient) is Tensor and gradient.is_cpu for gradient in gradients):
        return clip_together(gradients, most=most)
    norm = fabric.clip_gradients(network, optimizer, max_norm=most, error_if_nonfinite=False)
    return torch.zeros((), device=fabric.device) if norm is None else gathered(norm.detach())


def clip_together(gradients: list[Tensor], *, most: float) -> Float[Tensor, ""]:
    """`torch.nn.utils.clip_grad_norm_` to the bit, in one pass where nothing is to clip; returns the norm.

    For a CPU, where torch's asks and scales tensor by tensor: some 100 of them took 2 % of a step of `nano`.
    """
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))  # pyright: ignore[reportPrivateImportUsage]
    scale = most / (norm + 1e-6)
    if scale < 1:
        torch._foreach_mul_(gradients, scale)  # pyright: ignore[reportPrivateImportUsage]
    return norm
