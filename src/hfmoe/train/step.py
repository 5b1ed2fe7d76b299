"""One training step: a pure loss, then the optimiser."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor, nn

from hfmoe.data import Pair
from hfmoe.models.network import Perturbation, Restored
from hfmoe.train.objective import Objective
from hfmoe.train.recipe import Recipe
from hfmoe.train.schedule import router_temperature


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


def descend(
    fabric: Fabric,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    total: Tensor,
    *,
    lr: float,
    clip: float | None,
) -> Float[Tensor, ""]:
    """Follow the gradient of `total` by one optimiser step; give the norm of the gradient before clipping."""
    for group in optimizer.param_groups:
        group["lr"] = lr
    fabric.backward(total)
    norm = fabric.clip_gradients(network, optimizer, max_norm=clip or float("inf"), error_if_nonfinite=False)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return total.new_zeros(()) if norm is None else norm.detach()


def perturbation(step: int, recipe: Recipe, *, device: torch.device) -> Perturbation:
    """Give what disturbs the network at a step; its generator is seeded from (seed, step) alone."""
    seed = np.random.SeedSequence([recipe.seed, step, 1]).generate_state(1, np.uint64)[0]
    return Perturbation(
        temperature=router_temperature(step, steps=recipe.steps, perturb=recipe.perturb),
        router_noise=recipe.perturb.router_noise,
        hf_noise=recipe.perturb.hf_noise,
        drop_path=recipe.perturb.drop_path,
        generator=torch.Generator(device).manual_seed(int(seed >> 1)),
    )
