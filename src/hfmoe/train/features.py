"""VGG weights from torchvision's files, or from safetensors with the same names."""

import pickle
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor

from hfmoe.losses import VGGFeatures
from hfmoe.models.header import WeightsError
from hfmoe.nn.features import Depth


def read_features(path: Path, depth: Depth, layers: Collection[str]) -> VGGFeatures:
    """Build the features up to the deepest layer with the weights of a file; further tensors are left alone.

    Raises WeightsError where the file cannot be read, or a tensor is missing, of another shape or not finite.
    """
    tensors = read_tensors(path)
    with torch.device("meta"):
        expected = VGGFeatures(depth, layers).state_dict()
    for name, tensor in expected.items():
        found = tensors.get(name)
        if not isinstance(found, Tensor):
            raise WeightsError(
                f"{path} has no tensor {name}: it is not a whole {depth} in torchvision's names"
            )
        if found.shape != tensor.shape:
            shapes = f"{tuple(found.shape)}, must be {tuple(tensor.shape)} in {depth}"
            raise WeightsError(f"{path}: tensor {name} is {shapes}")
        if not found.is_floating_point() or not found.isfinite().all():
            raise WeightsError(f"{path}: tensor {name} must hold finite floating-point numbers")
    with torch.random.fork_rng(devices=[]):
        network = VGGFeatures(depth, layers)
    network.load_state_dict({name: tensors[name] for name in expected})
    return network.eval()


def read_tensors(path: Path) -> Mapping[str, Any]:
    """Read a safetensors file, or what torch.save wrote; nothing but tensors and plain values is accepted."""
    try:
        with path.open("rb") as file:
            is_safetensors = file.read(9)[8:] == b"{"
    except OSError as error:
        hint = "; `hfmoe download` fetches it" if isinstance(error, FileNotFoundError) else ""
        raise WeightsError(f"{path} cannot be read: {error.strerror}{hint}") from error
    try:
        if is_safetensors:
            with safetensors.safe_open(path, framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (safetensors.SafetensorError, pickle.UnpicklingError, OSError, RuntimeError, EOFError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise WeightsError(f"{path} is neither a safetensors file nor torch's: {reason}") from error
    if not isinstance(state, Mapping):
        raise WeightsError(f"{path} must hold named tensors, not {type(state).__name__}")
    return state
