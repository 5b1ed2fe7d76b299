"""One training step: a pure loss, then the optimiser."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor, nn

from hfmoe.data import Pair
from hfmoe.models.network import HFMoE, LayerRouting, Perturbation, Restored
from hfmoe.train.objective import Objective
from hfmoe.train.processes import averaging
from hfmoe.train.recipe import Recipe
from hfmoe.train.schedule import router_temperature
from hfmoe.train.sharding import gathered


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
    lr: float,
    clip: float | None,
) -> Float[Tensor, ""]:
    """Follow the gradients by one optimiser step; give their norm before clipping.

    Under float16 a step whose scaled gradients overflow is left out, as loss scaling means it, and its norm
    is given as 0.
    """
    for group in optimizer.param_groups:
        group["lr"] = lr
    norm = fabric.clip_gradients(network, optimizer, max_norm=clip or float("inf"), error_if_nonfinite=False)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    norm = torch.zeros((), device=fabric.device) if norm is None else gathered(norm.detach())
    scaled = getattr(fabric.strategy.precision, "scaler", None) is not None
    return torch.where(norm.isfinite(), norm, 0) if scaled else norm


def balance_experts(network: HFMoE, routing: tuple[LayerRouting, ...], *, rate: float) -> None:
    """Move the balancing bias of every mixture by the loads of the step just done."""
    for layer, seen in zip(network.low.mixtures(), routing, strict=True):
        layer.rebalance(seen.load, rate=rate)


def perturbation(step: int, recipe: Recipe, *, fabric: Fabric) -> Perturbation:
    """Give what disturbs the network at a step; its generator is seeded from (seed, step, process) alone."""
    words = [recipe.seed, step, 1, *([fabric.global_rank] if fabric.global_rank else [])]
    seed = np.random.SeedSequence(words).generate_state(1, np.uint64)[0]
    return Perturbation(
        temperature=router_temperature(step, steps=recipe.steps, perturb=recipe.perturb),
        router_noise=recipe.perturb.router_noise,
        hf_noise=recipe.perturb.hf_noise,
        drop_path=recipe.perturb.drop_path,
        generator=torch.Generator(fabric.device).manual_seed(int(seed >> 1)),
        average=averaging(fabric),
    )
