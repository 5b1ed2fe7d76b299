"""One training step: a pure loss, then the optimiser."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor, nn

from hfmoe.data import Pair
from hfmoe.models.network import LayerRouting, Perturbation, Restored
from hfmoe.models.peer import Network
from hfmoe.train.execution import gathered
from hfmoe.train.hardware import all_finite, averaging
from hfmoe.train.objective import Objective
from hfmoe.train.recipe import Recipe
from hfmoe.train.schedule import router_temperature


class Descent(NamedTuple):
    """The norm of the gradients before clipping, and whether losses and gradients were finite."""

    norm: Float[Tensor, ""]
    finite: bool


class Forward(NamedTuple):
    """The losses by name ("total" is what is minimised) and what the network returned."""

    losses: dict[str, Float[Tensor, ""]]
    restored: Restored


def forward(
    network: Callable[..., Restored], pair: Pair, *, objective: Objective, perturb: Perturbation | None
) -> Forward:
    """Restore a batch and judge it; depends on nothing but its arguments."""
    restored = network(pair.degraded, perturb=perturb)
    return Forward(objective(restored, pair.target), restored)


def accumulate(
    fabric: Fabric,
    network: nn.Module,
    pair: Pair,
    *,
    objective: Objective,
    perturb: Perturbation | None,
    parts: int,
) -> Forward:
    """Sum the gradients of the mean loss over `parts` equal parts of a batch, one part in memory at a time.

    Gives the losses and the experts' loads averaged over the parts, and the whole image without gradient.
    """
    if parts == 1:
        losses, restored = forward(network, pair, objective=objective, perturb=perturb)
        fabric.backward(losses["total"])
        values = {name: loss.detach() for name, loss in losses.items()}
        return Forward(values, restored._replace(image=restored.image.detach()))
    degraded, target = (side.chunk(parts) for side in pair)
    sums: dict[str, Tensor] = {}
    loads: list[list[Tensor]] = []
    images: list[Tensor] = []
    for number, part in enumerate(map(Pair, degraded, target), start=1):
        with fabric.no_backward_sync(network, enabled=number < parts):  # type: ignore[arg-type]
            losses, restored = forward(network, part, objective=objective, perturb=perturb)
            fabric.backward(losses["total"] / parts)
        sums = {name: sums.get(name, 0) + loss.detach() / parts for name, loss in losses.items()}
        images.append(restored.image.detach())
        loads.append([layer.load for layer in restored.routing])
    routing = tuple(
        layer._replace(load=torch.stack(seen).mean(0))
        for layer, *seen in zip(restored.routing, *loads, strict=True)
    )
    return Forward(sums, restored._replace(image=torch.cat(images), routing=routing))


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
    """Scale gradients whose norm exceeds `most` down to it, unscaled from float16; gives the norm before."""
    weights = (weight for group in optimizer.param_groups for weight in group["params"])
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    plain = getattr(fabric.strategy.precision, "scaler", None) is None
    if gradients and plain and all(type(gradient) is Tensor and gradient.is_cpu for gradient in gradients):
        return clip_together(gradients, most=most)
    norm = fabric.clip_gradients(network, optimizer, max_norm=most, error_if_nonfinite=False)
    return torch.zeros((), device=fabric.device) if norm is None else gathered(norm.detach())


def clip_together(gradients: list[Tensor], *, most: float) -> Float[Tensor, ""]:
    """`torch.nn.utils.clip_grad_norm_` to the last bit, in one pass where nothing is to clip; gives the norm.

    For a CPU, where torch's asks and scales tensor by tensor: some 100 of them took 2 % of a step of `nano`.
    """
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))  # pyright: ignore[reportPrivateImportUsage]
    scale = most / (norm + 1e-6)
    if scale < 1:
        torch._foreach_mul_(gradients, scale)  # pyright: ignore[reportPrivateImportUsage]
    return norm


def balance_experts(network: Network, routing: tuple[LayerRouting, ...], *, rate: float) -> None:
    """Move the balancing bias of every mixture by the loads of the step just done."""
    for layer, seen in zip(network.mixtures(), routing, strict=True):
        layer.rebalance(seen.load, rate=rate)


def perturbation(step: int, recipe: Recipe, *, moment: int, fabric: Fabric) -> Perturbation:
    """Give what disturbs the network at a step that is done at a moment of the schedule.

    Its generator is seeded from (seed, step, process) alone.
    """
    words = [recipe.seed, step, 1, *([fabric.global_rank] if fabric.global_rank else [])]
    seed = np.random.SeedSequence(words).generate_state(1, np.uint64)[0]
    return Perturbation(
        temperature=router_temperature(moment, steps=recipe.steps, perturb=recipe.perturb),
        router_noise=recipe.perturb.router_noise,
        random_expert=recipe.perturb.random_expert,
        hf_noise=recipe.perturb.hf_noise,
        drop_path=recipe.perturb.drop_path,
        generator=torch.Generator(fabric.device).manual_seed(int(seed >> 1)),
        average=averaging(fabric),
    )
