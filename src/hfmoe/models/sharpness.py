"""From faithful to sharp: the dial between the PSNR stage of a model and its perceptual stage."""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from hfmoe.models.header import SUFFIX, WeightsError, find_weights, shipped
from hfmoe.models.network import HFMoE
from hfmoe.models.weights import Loaded, load_weights

SHARP = "-sharp"
"""Ending of a sharp end's name behind that of the faithful one, which lies beside it."""


class Ends(NamedTuple):
    """Weights files of the dial: sharpness 0 and 1."""

    faithful: Path
    sharp: Path


def find_ends(name_or_path: str | Path) -> Ends:
    """Find the ends of a model's dial by the name or file of either. WeightsError where it has none."""
    path = find_weights(name_or_path)
    stem = path.stem.removesuffix(SHARP)
    ends = Ends(path.with_name(stem + SUFFIX), path.with_name(stem + SHARP + SUFFIX))
    if not (ends.faithful.is_file() and ends.sharp.is_file()):
        known = ", ".join(name.removesuffix(SHARP) for name in shipped() if name.endswith(SHARP))
        missing = ends.sharp if ends.faithful.is_file() else ends.faithful
        raise WeightsError(
            f"{name_or_path} has no sharpness to choose: there is no {missing.name} (models that do: {known})"
        )
    return ends


def load_sharpened(name_or_path: str | Path, sharpness: float | int) -> Loaded:
    """Rebuild the network between the ends of a model's dial. Raises WeightsError and ValueError."""
    check_sharpness(sharpness)
    ends = find_ends(name_or_path)
    if sharpness in (0, 1):
        return load_weights(ends[int(sharpness)])
    faithful, sharp = map(load_weights, ends)
    if faithful.config != sharp.config:
        raise WeightsError(f"{ends.sharp} is another network than {ends.faithful}: no dial joins them")
    state = mix(faithful.network.state_dict(), sharp.network.state_dict(), sharpness)
    network = HFMoE(faithful.config).eval()
    network.load_state_dict(state)
    return Loaded(network, faithful.config, sharp.facts)


def mix(faithful: dict[str, Tensor], sharp: dict[str, Tensor], sharpness: float | int) -> dict[str, Tensor]:
    """Average weights tensor by tensor: (1 - sharpness) faithful + sharpness sharp.

    It works where one was trained from the other. Source: Wang et al., "ESRGAN", ECCV Workshops 2018 (network
    interpolation).
    """
    return {
        name: torch.lerp(tensor, sharp[name], sharpness) if tensor.is_floating_point() else tensor
        for name, tensor in faithful.items()
    }


def check_sharpness(sharpness: float | int) -> None:
    """Raise ValueError outside of [0, 1]."""
    if not 0 <= sharpness <= 1:
        raise ValueError(f"sharpness {sharpness} must be in [0, 1]")
