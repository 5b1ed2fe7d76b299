"""External networks behind the interface of `HFMoE`, to train, score and measure them alike."""

import importlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import torch
from jaxtyping import Float
from safetensors.torch import save
from torch import Tensor, nn

from hfmoe.models.config import HFMoEConfig
from hfmoe.models.header import ModelFacts, WeightsError, header_text
from hfmoe.models.network import HFMoE, Perturbation, Restored, pad_to_multiple
from hfmoe.models.weights import PEER_KEY, stored
from hfmoe.nn.experts import MoEFFN
from hfmoe.runtime.files import write_atomically


class PeerError(ValueError):
    """A network that is not ours and cannot be used; the message names it and the rule."""


class PeerNetwork(nn.Module):
    """A network from image to image behind the interface of ours: no routing, no balance, no effort.

    `config` says scale and channels. The image is padded by its border to sides that are multiples of
    `multiple`, and the result is cropped. While training, whatever it draws at random comes from the seed of
    the step's perturbation, so that a run that goes on draws the same.
    """

    def __init__(
        self, network: nn.Module, config: HFMoEConfig, *, multiple: int = 1, channels_last: bool = True
    ) -> None:
        super().__init__()
        self.network = network
        self.config = config
        self.multiple = multiple
        self.channels_last = channels_last

    def mixtures(self) -> list[MoEFFN]:
        """List its mixtures of experts: none."""
        return []

    def forward(
        self,
        image: Float[Tensor, "b c h w"],
        *,
        effort: float = 0.5,
        perturb: Perturbation | None = None,
    ) -> Restored:
        """Restore images in [0, 1]; effort changes nothing. PeerError for a result of another shape."""
        height, width = image.shape[2:]
        padded = pad_to_multiple(image, self.multiple)
        padded = padded if self.channels_last else padded.contiguous()
        generator = perturb.generator if perturb is not None else None
        if generator is None:
            restored = self.network(padded)
        else:
            devices = [image.device] if image.device.type == "cuda" else []
            with torch.random.fork_rng(devices=devices):
                torch.manual_seed(generator.initial_seed())
                restored = self.network(padded)
        scale = self.config.scale
        due = (*image.shape[:2], padded.shape[2] * scale, padded.shape[3] * scale)
        if not isinstance(restored, Tensor) or restored.shape != due:
            found = tuple(restored.shape) if isinstance(restored, Tensor) else type(restored).__name__
            raise PeerError(f"{type(self.network).__name__} gave {found}, must give a tensor of shape {due}")
        return Restored(restored[:, :, : height * scale, : width * scale])


Network = HFMoE | PeerNetwork
"""A network that can be trained, scored and measured."""


def find_class(path: str) -> type[nn.Module]:
    """Import the class of "package.module:Class"; "spandrel:Name" is an architecture of that package.

    Importing runs the module's code. Raises PeerError naming what cannot be found, or is no torch module.
    """
    module, colon, name = path.partition(":")
    if not colon or not module or not name.isidentifier():
        raise PeerError(f"network {path!r} must be package.module:Class")
    if module == "spandrel":
        module = f"spandrel.architectures.{name}"
    try:
        found = getattr(importlib.import_module(module), name, None)
    except Exception as error:  # importing runs whatever the module holds
        raise PeerError(f"network {path}: {_missing(module, error)}") from error
    if found is None:
        raise PeerError(f"network {path}: {module} has no {name}")
    if not isinstance(found, type) or not issubclass(found, nn.Module):
        raise PeerError(f"network {path} must be a class of torch.nn.Module")
    return found


def build_peer(path: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Build the class of a path. Raises PeerError for arguments that it refuses, or nothing to train."""
    try:
        network = find_class(path)(**arguments)
    except PeerError:
        raise
    except Exception as error:
        raise PeerError(f"network {path} cannot be built: {type(error).__name__}: {error}") from error
    if not any(weight.requires_grad for weight in network.parameters()):
        raise PeerError(f"network {path} has no weights to train")
    return network


def save_peer(path: Path, network: PeerNetwork, facts: ModelFacts) -> None:
    """Write the weights of a network that is not ours: the file says which, and is no model of ours."""
    tensors = {name: stored(tensor) for name, tensor in network.network.state_dict().items()}
    write_atomically(path, save(tensors, metadata={PEER_KEY: header_text(network.config, facts)}))


def load_peer(path: Path, network: PeerNetwork) -> None:
    """Put the weights of save_peer's file into the network that they are of. Raises WeightsError."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        network.network.load_state_dict(tensors)
    except (safetensors.SafetensorError, OSError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise WeightsError(
            f"{path} holds no weights of {type(network.network).__name__}: {reason}"
        ) from error


def _missing(module: str, error: Exception) -> str:
    package = module.partition(".")[0]
    if package == "spandrel" and importlib.util.find_spec("spandrel") is None:
        return "spandrel is needed: pip install 'hf-moe-ir[peers]'"
    return f"cannot import {module}: {error or type(error).__name__}"
