"""One training step: losses and gradients of a batch, the optimiser, the discriminator."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor, nn

from hfmoe.data import Pair
from hfmoe.models.external import Network
from hfmoe.models.network import LayerRouting, Perturbation, Restored
from hfmoe.train.diagnosis import NonFinite, non_finite
from hfmoe.train.discriminator import discriminator_step
from hfmoe.train.hardware import averaging
from hfmoe.train.learner import Learner
from hfmoe.train.objective import Loss, Objective, objective_at
from hfmoe.train.optimizer import descend
from hfmoe.train.progress import CROPS, PERTURBATION, Progress, step_generator
from hfmoe.train.recipe import Recipe
from hfmoe.train.schedule import average_decay, learning_rate, router_temperature
from hfmoe.train.trainer import Trainer


class Forward(NamedTuple):
    """The losses by name ("total" is what is minimised) and what the network returned."""

    losses: dict[str, Float[Tensor, ""]]
    restored: Restored


def forward(
    network: Callable[..., Restored], pair: Pair, *, objective: Objective, perturb: Perturbation | None
) -> Forward:
    """Restore a batch and compute its losses; depends on nothing but its arguments."""
    restored = network(pair.degraded, perturb=perturb)
    return Forward(objective(restored, pair), restored)


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

    Returns the losses and the experts' loads averaged over the parts, and the whole image without gradient.
    """
    if parts == 1:
        losses, restored = forward(network, pair, objective=objective, perturb=perturb)
        fabric.backward(losses["total"])
        values = {name: loss.detach() for name, loss in losses.items()}
        return Forward(values, restored._replace(image=restored.image.detach()))
    sums: dict[str, Tensor] = {}
    loads: list[list[Tensor]] = []
    images: list[Tensor] = []
    for number, part in enumerate(pair.parts(parts), start=1):
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


def balance_experts(network: Network, routing: tuple[LayerRouting, ...], *, rate: float) -> None:
    """Move the balancing bias of every mixture by the loads of the step just done."""
    for layer, seen in zip(network.mixtures(), routing, strict=True):
        layer.rebalance(seen.load, rate=rate)


def perturbation(progress: Progress, recipe: Recipe, *, fabric: Fabric) -> Perturbation:
    """Return what disturbs the network in the next step.

    Its generator is seeded from (seed, step, process) alone.
    """
    return Perturbation(
        temperature=router_temperature(progress, perturb=recipe.perturb),
        router_noise=recipe.perturb.router_noise,
        random_expert=recipe.perturb.random_expert,
        hf_noise=recipe.perturb.hf_noise,
        drop_path=recipe.perturb.drop_path,
        generator=step_generator(
            progress, seed=recipe.seed, purpose=PERTURBATION, rank=fabric.global_rank, device=fabric.device
        ),
        average=averaging(fabric),
    )


def generator_gradients(
    progress: Progress,
    recipe: Recipe,
    learner: Learner,
    losses: Sequence[Loss],
    pair: Pair,
    *,
    fabric: Fabric,
    parts: int,
) -> Forward:
    """Compute the losses of the next step and leave their gradients in place."""
    weights = {"balance_weight": recipe.balance_weight, "z_weight": recipe.z_weight}
    generator = step_generator(progress, seed=recipe.seed, purpose=CROPS, rank=fabric.global_rank)
    return accumulate(
        fabric,
        learner.model,
        pair,
        objective=objective_at(progress.share, recipe.loss, losses, generator=generator, **weights),
        perturb=perturbation(progress, recipe, fabric=fabric),
        parts=parts,
    )


def train_step(trainer: Trainer, progress: Progress, pair: Pair) -> NonFinite | None:
    """Do the next step and note its losses; where they or gradients are not finite, return what was not.

    A network whose loss or gradient is not finite stays as it was: all that learns, or the discriminator.
    """
    recipe, learner, fabric = trainer.recipe, trainer.learner, trainer.fabric
    begin = time.perf_counter()
    pair = pair.map(lambda side: side.to(fabric.device, non_blocking=True))
    parts = recipe.hardware.accumulate
    losses, restored = generator_gradients(
        progress, recipe, learner, trainer.losses, pair, fabric=fabric, parts=parts
    )
    lr = learning_rate(progress, optimizer=recipe.optimizer)
    clip = recipe.optimizer.clip
    norm, finite = descend(fabric, learner.model, learner.optimizer, losses=losses, lr=lr, clip=clip)
    if not finite:
        return non_finite(fabric, losses)
    balance_experts(learner.network, restored.routing, rate=recipe.balance_rate)
    learner.average.update(average_decay(progress, decay=recipe.ema))
    trained = discriminator_step(learner.discriminator, recipe, progress, restored.image, pair)
    if trained.finite:
        losses |= trained.losses
    trainer.meter.note(
        progress.step,
        losses,
        norm=norm,
        routing=restored.routing,
        images=recipe.batch,
        seconds=time.perf_counter() - begin,
    )
    return None if trained.finite else non_finite(fabric, trained.losses, restored=restored.image)
