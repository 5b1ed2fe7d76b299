"""Eager PyTorch inference: device, number format, memory format."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from hfmoe.image.arrays import Array, as_tensor, is_finite
from hfmoe.infer.restorer import Restorer
from hfmoe.infer.tiles import tile_geometry
from hfmoe.models.folding import fold
from hfmoe.models.network import HFMoE
from hfmoe.models.weights import Loaded, standard_defaults
from hfmoe.runtime.fork import survive_forks

AUTOCAST = {"off": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Eager(NamedTuple):
    """A folded network in evaluation mode on its device; autocast: number format of its matrix products.

    network: (image, effort=) -> an output with an `image`; autocast None is float32.
    """

    network: Callable[..., Any]
    device: torch.device
    autocast: torch.dtype | None = None

    @property
    def identity(self) -> str:
        """Sums of the weights, and the number format."""
        state = getattr(self.network, "state_dict", dict)()
        sums = {name: float(tensor.double().abs().sum()) for name, tensor in state.items()}
        return f"{sums} {self.autocast}"

    def adopt(self, image: Array) -> Tensor:
        """The image as a tensor, where it lies, without a past."""
        return as_tensor(image).detach()

    def restore(self, image: Float[Tensor, "b c h w"], *, effort: float) -> Float[Tensor, "b c H W"]:
        """Run the network on its device."""
        survive_forks()
        image = image.to(self.device, memory_format=torch.channels_last)
        return run_finite(self.network, image, effort=effort, autocast=self.autocast)


def make_restorer(loaded: Loaded, *, device: str = "auto", autocast: str = "off") -> Restorer:
    """Fold loaded weights and put them on a device ("auto", "cpu", "cuda", "cuda:N", "mps").

    autocast: "off", "bfloat16" or "float16". Raises ValueError when either is unknown or not there.
    """
    survive_forks()
    place = choose_device(device)
    network: HFMoE = loaded.network
    with standard_defaults():
        folded = fold(network)
    folded = folded.eval().requires_grad_(False)
    folded = folded.to(device=place, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return Restorer(
        Eager(folded, place, choose_autocast(autocast)), tile_geometry(loaded.config), loaded.facts
    )


def choose_device(name: str = "auto") -> torch.device:
    """Device by name; "auto" is cuda, else mps, else cpu. Raises ValueError when it is unknown or not
    there."""
    has_mps = torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if has_mps else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"device {name!r} must be auto, cpu, cuda, cuda:N or mps") from error
    if device.type not in ("cpu", "cuda", "mps"):
        raise ValueError(f"device {name!r} must be auto, cpu, cuda, cuda:N or mps")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device {name!r} is not on this machine")
    if device.type == "mps" and not has_mps:
        raise ValueError(f"device {name!r} is not on this machine")
    return device


def choose_autocast(name: str) -> torch.dtype | None:
    """Number format of matrix products by name: "off" (float32), "bfloat16" or "float16"."""
    if name not in AUTOCAST:
        raise ValueError(f"autocast {name!r} must be one of {', '.join(AUTOCAST)}")
    return AUTOCAST[name]


@torch.no_grad()
def run_finite(
    network: Callable[..., Any],
    image: Float[Tensor, "b c h w"],
    *,
    effort: float,
    autocast: torch.dtype | None,
) -> Float[Tensor, "b c H W"]:
    """Run the network; a result that is not finite is computed again in float32."""
    restored = _run(network, image, effort, autocast)
    if autocast is not None and not is_finite(restored):
        restored = _run(network, image, effort, None)
    return restored


def _run(network: Callable[..., Any], image: Tensor, effort: float, autocast: torch.dtype | None) -> Tensor:
    with standard_defaults(), torch.autocast(image.device.type, autocast, enabled=autocast is not None):
        return network(image, effort=effort).image.float()
