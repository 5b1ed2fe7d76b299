"""One run of a network in the number format asked for; in float32 where that overflows."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from hfmoe.infer.finite import checked, is_finite


@torch.no_grad()
def run_finite(
    network: Callable[..., Any],
    image: Float[Tensor, "b c h w"],
    *,
    effort: float,
    autocast: torch.dtype | None,
) -> Float[Tensor, "b c H W"]:
    """What the network makes of the image, in float32; a result that is not finite is made again in float32.

    Raises RuntimeError when that is not finite either.
    """
    restored = _run(network, image, effort, autocast)
    if autocast is not None and not is_finite(restored):
        restored = _run(network, image, effort, None)
    return checked(restored)


def _run(network: Callable[..., Any], image: Tensor, effort: float, autocast: torch.dtype | None) -> Tensor:
    with torch.autocast(image.device.type, autocast, enabled=autocast is not None):
        return network(image, effort=effort).image.float()
