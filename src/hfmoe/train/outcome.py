"""Weights that leave a run: averaged, with the facts a user wants to know."""

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

from hfmoe.models.header import ModelFacts
from hfmoe.models.peer import Network, PeerNetwork, save_peer
from hfmoe.models.weights import save_weights
from hfmoe.runtime.machine import code_version
from hfmoe.train.changes import Change
from hfmoe.train.examples import scored_on_luma
from hfmoe.train.recipe import Recipe


def save_outcome(
    path: Path,
    network: Network,
    recipe: Recipe,
    *,
    step: int,
    psnr: float | None,
    tasks: Mapping[str, float] | None = None,
    changes: Sequence[Change] = (),
) -> None:
    """Write the weights with the recipe and its changes on the way, the step, the validation score and those
    of its tasks."""
    history = {"changes": [change._asdict() for change in changes]} if changes else {}
    measure = "psnr_y" if scored_on_luma(recipe) else "psnr"
    scores = {} if psnr is None else {f"validation {measure}": psnr}
    scores |= {f"validation {name} psnr": value for name, value in (tasks or {}).items()}
    facts = ModelFacts(
        name=recipe.name,
        task=recipe.task(),
        recipe={**recipe.resolved().as_data(), "stopped_at": step, **history},
        scores=scores,
        licence=recipe.licence,
        code=code_version(),
        date=date.today().isoformat(),
        notes=recipe.notes,
    )
    if isinstance(network, PeerNetwork):
        save_peer(path, network, facts)
    else:
        save_weights(path, network, facts)
