"""A teacher: a trained network of any kind whose results another one learns from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from hfmoe.models.folding import fold
from hfmoe.models.header import WeightsError, file_sha256, find_weights
from hfmoe.models.weights import load_weights

Engine = Callable[[Float[Tensor, "b c h w"]], Float[Tensor, "b c H W"]]


class Teacher(NamedTuple):
    """A network from images in [0, 1] to images enlarged by `scale`, and the facts that labels keep of it.

    facts: name, licence and sha256 of its file.
    """

    restore: Engine
    scale: int
    facts: dict[str, Any]


def load_teacher(name_or_path: Path | str, *, licence: str = "", engine: str = "auto") -> Teacher:
    """Load a model of ours, by name or file. WeightsError where nobody says its licence."""
    path = find_weights(name_or_path)
    loaded = load_weights(path)
    network, facts = fold(loaded.network).eval(), loaded.facts
    licence = licence or facts.licence
    if not licence:
        raise WeightsError(f"{path} does not say its licence: say it, since what learns from it inherits it")

    @torch.inference_mode()
    def restore(image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c H W"]:
        return network(image).image.float().cpu()

    return Teacher(
        restore, loaded.config.scale, {"name": facts.name, "licence": licence, "sha256": file_sha256(path)}
    )
