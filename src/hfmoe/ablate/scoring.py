"""Scores of a finished run: its averaged weights on every evaluation set."""

from typing import Any

import torch

from hfmoe.ablate.run_state import image_digests
from hfmoe.ablate.study import Scoring
from hfmoe.evaluate.protocols import (
    EvaluationProtocol,
    ProtocolSettings,
    Restore,
    choose_protocol,
    default_protocol,
)
from hfmoe.evaluate.report import evaluate
from hfmoe.evaluate.scores import load_distances
from hfmoe.infer.eager import Eager
from hfmoe.infer.restorer import Restorer
from hfmoe.models.folding import fold
from hfmoe.models.header import ModelFacts
from hfmoe.models.peer import Network, PeerNetwork, load_peer
from hfmoe.models.weights import load_weights
from hfmoe.train import Recipe
from hfmoe.train.learner import build_network


def score_run(recipe: Recipe, evaluation: Scoring) -> dict[str, Any]:
    """Score the weights that a run ended with; errors are those of reading images and weights."""
    protocol = protocol_of(recipe, evaluation)
    restore = restorer(weighted(recipe), recipe)
    distances = load_distances(evaluation.lpips, evaluation.dists)
    reports = {
        name: evaluate(restore, folder, protocol=protocol, distances=distances).to_dict()
        for name, folder in evaluation.sets.items()
    }
    return {
        "evaluation": evaluation.model_dump(mode="json"),
        "images": image_digests(evaluation),
        "metric": evaluation.metric or protocol.headline,
        "sets": reports,
    }


def protocol_of(recipe: Recipe, evaluation: Scoring) -> EvaluationProtocol:
    """Choose the protocol of the study, or that of the task. Raises ValueError for one that does not fit."""
    config = recipe.config()
    name = evaluation.protocol or default_protocol(
        recipe.task(),
        scale=config.scale,
        channels=config.channels,
        targets=evaluation.targets is not None,
    )
    settings = ProtocolSettings(evaluation.sigma, evaluation.quality, evaluation.targets, evaluation.suffixes)
    return choose_protocol(name, scale=config.scale, settings=settings)


def weighted(recipe: Recipe, *, untrained: bool = False) -> Network:
    """Return the recipe's network with the weights its run ended with, or those it begins with."""
    path = recipe.run / "last.safetensors"
    if recipe.peer is None and not untrained:
        return load_weights(path).network
    network = build_network(recipe).eval()
    if isinstance(network, PeerNetwork) and not untrained:
        load_peer(path, network)
    return network


def restorer(network: Network, recipe: Recipe) -> Restore:
    """Return what restores images of a protocol: ours in tiles where memory is short, others whole."""
    folded = fold(network).requires_grad_(False)
    if not isinstance(network, PeerNetwork) or network.channels_last:
        folded = folded.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    device = next(folded.parameters()).device
    facts = ModelFacts(name=recipe.name, task=recipe.task())
    ready = Restorer(Eager(folded, device), recipe.config(), facts)
    tile = "off" if isinstance(network, PeerNetwork) else "auto"
    return lambda image: ready(image, tile=tile)
