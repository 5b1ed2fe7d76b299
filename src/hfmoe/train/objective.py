"""The recipe's weighted loss terms, applied to what a network returned."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from hfmoe.losses import (
    charbonnier,
    fft_l1,
    generator_loss,
    high_band_l1,
    l1,
    laplacian_l1,
    mse,
    perceptual,
)
from hfmoe.losses.adversarial import Form
from hfmoe.models.header import WeightsError
from hfmoe.models.network import Restored
from hfmoe.train.recipe import Recipe
from hfmoe.train.terms import (
    AdversarialTerm,
    CharbonnierTerm,
    HighBandTerm,
    LaplacianTerm,
    PerceptualTerm,
    PixelTerm,
    Term,
)
from hfmoe.train.vgg_weights import read_features

Loss = Callable[[Tensor, Tensor], Tensor]
"""Judges (restored, target)."""

Judge = Callable[[Tensor], Tensor]
"""Gives the logits of a discriminator, none of whose weights gets a gradient from that."""

PIXEL_LOSSES: Mapping[str, Loss] = {"l1": l1, "mse": mse, "fft": fft_l1}


class WeightedLoss(NamedTuple):
    """A loss under the name that it has in the log."""

    name: str
    weight: float
    loss: Loss


@dataclass(frozen=True)
class Objective:
    """Weighted losses of the image, and the weights of the router's balance and z losses."""

    losses: tuple[WeightedLoss, ...]
    balance_weight: float
    z_weight: float

    def __call__(self, restored: Restored, target: Float[Tensor, "b c h w"]) -> dict[str, Tensor]:
        """Give each term unweighted by name (with no gradient at weight 0) and the weighted sum "total"."""
        image = restored.image.float()
        values = {"balance": restored.balance, "z": restored.z}
        total = self.balance_weight * restored.balance + self.z_weight * restored.z
        for name, weight, loss in self.losses:
            with torch.set_grad_enabled(weight > 0 and torch.is_grad_enabled()):
                values[name] = loss(image, target)
            total = total + weight * values[name] if weight else total
        return {"total": total, **values}


def check_losses(recipe: Recipe) -> None:
    """Raise WeightsError for features whose file is not there: asked before the photos are read."""
    for term in recipe.loss:
        if isinstance(term, PerceptualTerm) and not term.weights.is_file():
            raise WeightsError(f"{term.weights} is no file; `hfmoe download {term.network}` fetches it")


def build_losses(recipe: Recipe, *, device: torch.device, judge: Judge | None) -> tuple[Loss, ...]:
    """Build the loss of each term of a recipe, in their order. Raises WeightsError for features.

    `judge` may be None where no term is adversarial.
    """
    return tuple(build_loss(term, device=device, judge=judge) for term in recipe.loss)


def build_loss(term: Term, *, device: torch.device, judge: Judge | None) -> Loss:
    """Give the function of (restored, target) that a term stands for."""
    match term:
        case PixelTerm():
            return PIXEL_LOSSES[term.kind]
        case CharbonnierTerm():
            return partial(charbonnier, epsilon=term.epsilon)
        case LaplacianTerm():
            return partial(laplacian_l1, levels=term.levels)
        case HighBandTerm():
            return partial(high_band_l1, high_weight=term.high_weight)
        case PerceptualTerm():
            weights = term.layer_weights()
            network = read_features(term.weights, term.network, weights).to(device)
            return partial(perceptual, network=network, weights=weights)
        case AdversarialTerm() if judge is not None:
            return partial(adversarial, judge=judge, form=term.form)
    raise TypeError(f"loss term {term!r} has no function")


def adversarial(
    restored: Float[Tensor, "b c h w"], target: Float[Tensor, "b c h w"], *, judge: Judge, form: Form
) -> Float[Tensor, ""]:
    """What the generator wants the discriminator to say; the logits of targets carry no gradient."""
    fake = judge(restored)
    with torch.no_grad():
        real = judge(target) if form == "relativistic" else None
    return generator_loss(fake, real, form=form)


def objective_at(moment: int, recipe: Recipe, losses: Sequence[Loss]) -> Objective:
    """Choose the terms that are active at a moment of the schedule; `losses` are those of build_losses."""
    terms = zip(recipe.loss, losses, strict=True)
    active = [pair for pair in terms if pair[0].active(moment / recipe.steps)]
    weighted = tuple(WeightedLoss(term.kind, term.weight, loss) for term, loss in active)
    return Objective(weighted, recipe.balance_weight, recipe.z_weight)
