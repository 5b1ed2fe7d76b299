"""A network of torch as what runs a `Restorer`."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from hfmoe.image.arrays import Array, as_tensor
from hfmoe.infer.devices import choose_autocast, choose_device
from hfmoe.infer.precision import run_finite
from hfmoe.infer.restorer import Restorer
from hfmoe.models.folding import fold
from hfmoe.models.network import HFMoE
from hfmoe.models.weights import Loaded


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
        """Run the network on its device. Raises RuntimeError when what it makes is not finite."""
        image = image.to(self.device, memory_format=torch.channels_last)
        return run_finite(self.network, image, effort=effort, autocast=self.autocast)


def make_restorer(loaded: Loaded, *, device: str = "auto", autocast: str = "off") -> Restorer:
    """Fold loaded weights and put them on a device ("auto", "cpu", "cuda", "cuda:N", "mps").

    autocast: "off", "bfloat16" or "float16". Raises ValueError when either is unknown or not there.
    """
    place = choose_device(device)
    network: HFMoE = loaded.network
    folded = fold(network).eval().requires_grad_(False)
    folded = folded.to(device=place, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return Restorer(Eager(folded, place, choose_autocast(autocast)), loaded.config, loaded.facts)
