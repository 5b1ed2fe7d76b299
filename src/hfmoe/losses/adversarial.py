"""Adversarial losses as functions of a discriminator's logits: log losses, ln 2 where it knows nothing."""

from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Form = Literal["vanilla", "relativistic"]


def generator_loss(
    fake: Float[Tensor, "b 1 h w"], real: Float[Tensor, "b 1 h w"] | None = None, *, form: Form
) -> Float[Tensor, ""]:
    """Generator loss, given the logits of restored (fake) and of target (real) images.

    vanilla, non-saturating: mean softplus(-fake); Goodfellow et al., "Generative Adversarial Nets", 2014.
    relativistic average: half of mean softplus(-(fake - mean real)) + mean softplus(real - mean fake);
    Jolicoeur-Martineau, "The relativistic discriminator", ICLR 2019, in whose formula the half is absent.
    The means run over the images at hand. Only the relativistic form looks at `real`; ValueError without it.
    """
    if form == "vanilla":
        return F.softplus(-fake).mean()
    if real is None:
        raise ValueError("the relativistic form needs the logits of target images")
    return _opposed(fake - real.mean(), real - fake.mean())


def discriminator_loss(
    fake: Float[Tensor, "b 1 h w"], real: Float[Tensor, "b 1 h w"], *, form: Form
) -> Float[Tensor, ""]:
    """Discriminator loss: the mean log loss of calling targets real and restored images fake.

    vanilla: half of mean softplus(-real) + mean softplus(fake); relativistic average: half of
    mean softplus(-(real - mean fake)) + mean softplus(fake - mean real). The sources, those of
    generator_loss, give the sum of both halves, which is the same to Adam.
    """
    if form == "vanilla":
        return _opposed(real, fake)
    return _opposed(real - fake.mean(), fake - real.mean())


def _opposed(high: Tensor, low: Tensor) -> Float[Tensor, ""]:
    return (F.softplus(-high).mean() + F.softplus(low).mean()) / 2
