"""The discriminator of a run: its logits for the generator's loss, and its own training steps."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor, nn

from hfmoe.data import Pair
from hfmoe.losses import UNetDiscriminator, discriminator_loss
from hfmoe.losses.adversarial import Form
from hfmoe.train.hardware import averaging
from hfmoe.train.objective import adversarial_term, cropped
from hfmoe.train.optimizer import descend, restore_optimizer
from hfmoe.train.progress import DISCRIMINATOR_CROPS, Progress, step_generator
from hfmoe.train.recipe import Recipe
from hfmoe.train.schedule import learning_rate


@dataclass(frozen=True)
class DiscriminatorLearner:
    """A discriminator and its optimiser; every process has the whole of both."""

    network: UNetDiscriminator
    optimizer: torch.optim.Optimizer
    fabric: Fabric

    def logits(self, image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1 h w"]:
        """Compute logits through which a gradient reaches the image and nothing of the discriminator."""
        with frozen(self.network), self.fabric.autocast():
            return self.network(image).float()

    def state(self) -> dict[str, Any]:
        """Gather the state of all that learns, as tensors and plain values."""
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Put the state of all that learns back in place."""
        self.network.load_state_dict(state["network"])
        restore_optimizer(self.optimizer, state["optimizer"])


class DiscriminatorStep(NamedTuple):
    """Losses of a discriminator's step, and whether they and its gradients were finite."""

    losses: dict[str, Tensor]
    finite: bool


def discriminator_step(
    discriminator: DiscriminatorLearner | None,
    recipe: Recipe,
    progress: Progress,
    restored: Tensor,
    pair: Pair,
) -> DiscriminatorStep:
    """While a loss is adversarial, train the discriminator on what the generator made in this step."""
    term = adversarial_term(recipe.loss, progress.share)
    if discriminator is None or term is None:
        return DiscriminatorStep({}, finite=True)
    fields, rank = recipe.discriminator.optimizer, discriminator.fabric.global_rank
    generator = step_generator(progress, seed=recipe.seed, purpose=DISCRIMINATOR_CROPS, rank=rank)
    return train_discriminator(
        discriminator,
        *cropped(restored, term.reference(pair), side=term.crop, generator=generator),
        form=term.form,
        lr=learning_rate(progress, optimizer=fields),
        clip=fields.clip,
        parts=recipe.hardware.accumulate,
    )


def train_discriminator(
    discriminator: DiscriminatorLearner,
    restored: Float[Tensor, "b c h w"],
    target: Float[Tensor, "b c h w"],
    *,
    form: Form,
    lr: float,
    clip: float | None,
    parts: int,
) -> DiscriminatorStep:
    """Do one step of the discriminator, as if restored images had come from nowhere.

    Where a loss or gradient is not finite, it stays as it was.
    """
    network, fabric = discriminator.network, discriminator.fabric
    before = [buffer.clone() for buffer in network.buffers()]
    network.advance()
    losses = discriminator_gradients(discriminator, restored, target, form=form, parts=parts)
    norm, finite = descend(fabric, network, discriminator.optimizer, losses=losses, lr=lr, clip=clip)
    if not finite:
        for buffer, value in zip(network.buffers(), before, strict=True):
            buffer.copy_(value)
    return DiscriminatorStep({**losses, "discriminator_gradient_norm": norm}, finite)


def discriminator_gradients(
    discriminator: DiscriminatorLearner,
    restored: Float[Tensor, "b c h w"],
    target: Float[Tensor, "b c h w"],
    *,
    form: Form,
    parts: int,
) -> dict[str, Tensor]:
    """Compute the gradients of the discriminator's loss; give it and the mean logits.

    Both kinds of images go through it together, in `parts` equal parts one after another. The means of the
    relativistic form run over a part of a process.
    """
    network, fabric = discriminator.network, discriminator.fabric
    sums: dict[str, Tensor] = {}
    for ours, theirs in zip(restored.detach().chunk(parts), target.chunk(parts), strict=True):
        with fabric.autocast():
            logits = network(torch.cat([ours.to(theirs.dtype), theirs])).float()
        fake, real = logits.chunk(2)
        loss = discriminator_loss(fake, real, form=form)
        fabric.backward(loss / parts)
        news = {"discriminator": loss, "logit_restored": fake.mean(), "logit_target": real.mean()}
        sums = {name: sums.get(name, 0) + value.detach() / parts for name, value in news.items()}
    share_gradients(fabric, network)
    return sums


def share_gradients(fabric: Fabric, network: nn.Module) -> None:
    """Average the gradients over the processes, all in one message."""
    average = averaging(fabric)
    if average is None:
        return
    gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
    shared = average(torch.cat([gradient.flatten() for gradient in gradients]))
    for gradient, mean in zip(gradients, shared.split([each.numel() for each in gradients]), strict=True):
        gradient.copy_(mean.view(gradient.shape))


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Let forward passes inside give no gradient to the network's weights."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)
