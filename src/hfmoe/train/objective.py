"""The recipe's weighted loss terms, applied to what a network returned."""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from hfmoe.losses import charbonnier, fft_l1, l1, mse
from hfmoe.models.network import Restored
from hfmoe.train.recipe import Recipe, Term

LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": l1,
    "charbonnier": charbonnier,
    "mse": mse,
    "fft": fft_l1,
}


@dataclass(frozen=True)
class Objective:
    """Weighted terms on the image, and the weights of the router's balance and z losses."""

    terms: tuple[Term, ...]
    balance_weight: float
    z_weight: float

    def __call__(self, restored: Restored, target: Float[Tensor, "b c h w"]) -> dict[str, Tensor]:
        """Give each term unweighted by name, and their weighted sum as "total"."""
        image = restored.image.float()
        losses = {term.kind: LOSSES[term.kind](image, target) for term in self.terms}
        losses |= {"balance": restored.balance, "z": restored.z}
        total = self.balance_weight * restored.balance + self.z_weight * restored.z
        for term in self.terms:
            total = total + term.weight * losses[term.kind]
        return {"total": total, **losses}


def objective_at(step: int, recipe: Recipe) -> Objective:
    """Choose the terms that are active at a step."""
    share = step / recipe.steps
    terms = tuple(term for term in recipe.loss if term.start <= share < term.until)
    return Objective(terms, recipe.balance_weight, recipe.z_weight)
