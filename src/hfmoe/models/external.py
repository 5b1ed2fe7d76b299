"""External networks behind the interface of `HFMoE`: built from a class to train, or from a file to run."""

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any

import safetensors
import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors.torch import load_file, save
from torch import Tensor, nn

from hfmoe.models.config import HFMoEConfig
from hfmoe.models.header import SUFFIX, ModelFacts, WeightsError, header_text, one_line
from hfmoe.models.network import HFMoE, Perturbation, Restored, pad_to_multiple
from hfmoe.models.weights import EXTERNAL_KEY, standard_defaults, stored
from hfmoe.nn.experts import MoEFFN
from hfmoe.runtime.files import write_atomically


class ExternalError(ValueError):
    """A network that is not ours and cannot be used; the message names it and the rule."""


class ExternalNetwork(nn.Module):
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
        """Restore images in [0, 1]; effort changes nothing. ExternalError for a result of another shape."""
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
            raise ExternalError(
                f"{type(self.network).__name__} gave {found}, must give a tensor of shape {due}"
            )
        return Restored(restored[:, :, : height * scale, : width * scale])


Network = HFMoE | ExternalNetwork
"""A network that can be trained, scored and measured."""


def find_class(path: str) -> type[nn.Module]:
    """Import the class of "package.module:Class"; "spandrel:Name" is an architecture of that package.

    Importing runs the module's code. Raises ExternalError naming what cannot be found, or is no torch module.
    """
    module, colon, name = path.partition(":")
    if not colon or not module or not name.isidentifier():
        raise ExternalError(f"network {path!r} must be package.module:Class")
    try:
        if module == "spandrel":
            import_spandrel()
            module = f"spandrel.architectures.{name}"
        found = getattr(importlib.import_module(module), name, None)
    except Exception as error:  # importing runs whatever the module holds
        raise ExternalError(f"network {path}: {_missing(module, error)}") from error
    if found is None:
        raise ExternalError(f"network {path}: {module} has no {name}")
    if not isinstance(found, type) or not issubclass(found, nn.Module):
        raise ExternalError(f"network {path} must be a class of torch.nn.Module")
    return found


def build_external(path: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Build the class of a path. Raises ExternalError for arguments that it refuses, or nothing to train."""
    try:
        network = find_class(path)(**arguments)
    except ExternalError:
        raise
    except Exception as error:
        raise ExternalError(f"network {path} cannot be built: {type(error).__name__}: {error}") from error
    if not any(weight.requires_grad for weight in network.parameters()):
        raise ExternalError(f"network {path} has no weights to train")
    return network


def save_external(path: Path, network: ExternalNetwork, facts: ModelFacts) -> None:
    """Write the weights of a network that is not ours: the file says which, and is no model of ours."""
    tensors = {name: stored(tensor) for name, tensor in network.network.state_dict().items()}
    write_atomically(path, save(tensors, metadata={EXTERNAL_KEY: header_text(network.config, facts)}))


def load_external(path: Path, network: ExternalNetwork) -> None:
    """Put the weights of save_external's file into the network that they are of. Raises WeightsError."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        network.network.load_state_dict(tensors)
    except (safetensors.SafetensorError, OSError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise WeightsError(
            f"{path} holds no weights of {type(network.network).__name__}: {reason}"
        ) from error


class CommunityNetwork(nn.Module):
    """A network of a file that spandrel knows, behind the interface of ours; effort changes nothing.

    scale, channels: of its images. multiple, minimum, square: what it asks of their sides, for which they are
    padded as spandrel pads them, and the result is cropped. tiling: spandrel's advice, "supported",
    "discouraged" (it looks far) or "internal" (it wants the whole image).
    """

    def __init__(self, descriptor: Any, facts: ModelFacts) -> None:
        super().__init__()
        self.network: nn.Module = descriptor.model.float().eval().requires_grad_(False)
        self.call = descriptor._call_fn  # the public call runs in inference mode, whose tensors cannot change
        self.facts = facts
        self.scale: int = descriptor.scale
        self.channels: int = descriptor.input_channels
        sizes = descriptor.size_requirements
        self.minimum, self.multiple, self.square = sizes.minimum, sizes.multiple_of, sizes.square
        self.tiling: str = descriptor.tiling.name.lower()

    def forward(self, image: Float[Tensor, "b c h w"], *, effort: float = 0.5) -> Restored:
        """Restore images in [0, 1] (not clamped). ExternalError for a result of another shape."""
        height, width = image.shape[2:]
        sides = [max(self.minimum, side + -side % self.multiple) for side in (height, width)]
        sides = [max(sides)] * 2 if self.square else sides
        padded = _padded(image, *sides).contiguous()
        restored = self.call(self.network, padded)
        due = (*image.shape[:2], sides[0] * self.scale, sides[1] * self.scale)
        _check_shape(restored, due, name=self.facts.name)
        return Restored(restored[:, :, : height * self.scale, : width * self.scale])


def _check_shape(restored: Any, due: tuple[int, ...], *, name: str) -> None:
    if not isinstance(restored, Tensor) or restored.shape != due:
        found = tuple(restored.shape) if isinstance(restored, Tensor) else type(restored).__name__
        raise ExternalError(f"{name} gave {found}, must give a tensor of shape {due}")


def _padded(image: Float[Tensor, "b c h w"], height: int, width: int) -> Float[Tensor, "b c h2 w2"]:
    """Mirror the image beyond its last row and column; repeat the last where that is not enough."""
    bottom, right = height - image.shape[2], width - image.shape[3]
    if not (bottom or right):
        return image
    mirrored = min(bottom, image.shape[2] - 1), min(right, image.shape[3] - 1)
    image = F.pad(image, (0, mirrored[1], 0, mirrored[0]), mode="reflect")
    return F.pad(image, (0, right - mirrored[1], 0, bottom - mirrored[0]), mode="replicate")


def open_external(path: Path) -> CommunityNetwork:
    """Open a network of any architecture that spandrel knows, in float32 on the CPU and evaluation mode.

    No code of the file runs: of a pickle, tensors and plain values are read, and anything else is refused.
    Raises WeightsError when the file cannot be used, ImportError without spandrel.
    """
    import_spandrel()
    from spandrel import ImageModelDescriptor, ModelLoader, UnsupportedModelError

    tensors = _read_tensors(path)
    try:
        with torch.random.fork_rng(devices=[]), standard_defaults():
            found = ModelLoader("cpu").load_from_state_dict(tensors)
    except UnsupportedModelError as error:
        raise WeightsError(f"{path}: spandrel knows no architecture of such tensors") from error
    except Exception as error:  # whatever an architecture raises for tensors that do not fit it
        raise WeightsError(f"{path} cannot be loaded: {one_line(error)}") from error
    name = found.architecture.name
    if not isinstance(found, ImageModelDescriptor):
        raise WeightsError(f"{path}: {name} fills in masks; a network from image to image is needed")
    channels = (found.input_channels, found.output_channels)
    if channels not in ((1, 1), (3, 3)):
        raise WeightsError(f"{path}: {name} takes {channels[0]} channels and gives {channels[1]}, not 1 or 3")
    task = "photo" if found.scale == 1 else "sr"
    facts = ModelFacts(path.stem, task, notes=" ".join([name, *found.tags]))
    return CommunityNetwork(found, facts)


def _read_tensors(path: Path) -> dict[str, Any]:
    try:
        if path.suffix.lower() == SUFFIX:
            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle raises what it likes
        raise WeightsError(
            f"{path} is damaged, or holds more than tensors, which only running its code could read; "
            f"convert it to safetensors where you trust it ({one_line(error)[:80]})"
        ) from error
    if not isinstance(found, dict):
        raise WeightsError(f"{path} holds a {type(found).__name__}, not the tensors of a network by name")
    return found


def import_spandrel() -> None:
    """Import spandrel, with a stand-in for torchvision where that is missing or fits another torch.

    spandrel imports two functions of it, for face restoration and for masks. Raises ImportError.
    """
    if "spandrel" in sys.modules:
        return
    if importlib.util.find_spec("spandrel") is None:
        raise ImportError("spandrel is needed: pip install 'hf-moe-ir[peers]'", name="spandrel")
    try:
        importlib.import_module("torchvision.transforms.functional")
        stand_ins = {}
    except (ImportError, RuntimeError):
        stand_ins = _stand_ins()
    before = {name: sys.modules.get(name) for name in stand_ins}
    sys.modules.update(stand_ins)
    try:
        importlib.import_module("spandrel")
    finally:
        for name, module in before.items():
            del sys.modules[name]
            if module is not None:
                sys.modules[name] = module


def _stand_ins() -> dict[str, ModuleType]:
    """Modules with what spandrel imports of torchvision."""

    def normalize(image: Tensor, mean: Any, std: Any, inplace: bool = False) -> Tensor:
        mean, std = (image.new_tensor(value).view(-1, 1, 1) for value in (mean, std))
        return image.sub_(mean).div_(std) if inplace else (image - mean) / std

    def rotate(*_: Any, **__: Any) -> Tensor:
        raise NotImplementedError("rotate needs torchvision")

    names = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")
    modules = {name: ModuleType(name) for name in names}
    functional = modules[names[-1]]
    vars(functional).update(normalize=normalize, rotate=rotate)
    vars(functional)["InterpolationMode"] = Enum("InterpolationMode", ["NEAREST", "BILINEAR", "BICUBIC"])
    return modules


def _missing(module: str, error: Exception) -> str:
    if isinstance(error, ImportError) and error.name == "spandrel":
        return str(error)
    return f"cannot import {module}: {error or type(error).__name__}"
