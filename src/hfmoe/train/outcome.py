"""Weights that leave a run: averaged, with the facts a user wants to know."""

from datetime import date
from pathlib import Path

from hfmoe.models.network import HFMoE
from hfmoe.models.weights import ModelFacts, code_version, save_weights
from hfmoe.train.recipe import Recipe


def save_outcome(path: Path, network: HFMoE, recipe: Recipe, *, step: int, psnr_y: float | None) -> None:
    """Write the weights with the recipe, the step and the validation score."""
    scores = {} if psnr_y is None else {"validation psnr_y": psnr_y}
    facts = ModelFacts(
        name=recipe.name,
        task="sr",
        recipe={**recipe.as_data(), "stopped_at": step},
        scores=scores,
        licence=recipe.licence,
        code=code_version(),
        date=date.today().isoformat(),
        notes=recipe.notes,
    )
    save_weights(path, network, facts)
