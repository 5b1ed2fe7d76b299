"""One run of a network in the number format asked for; in float32 where that overflows."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


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
    if autocast is not None and not _is_finite(restored):
        restored = _run(network, image, effort, None)
    if not _is_finite(restored):
        raise RuntimeError("the network made values that are not finite, in float32 too")
    return restored


def _run(network: Callable[..., Any], image: Tensor, effort: float, autocast: torch.dtype | None) -> Tensor:
    with torch.autocast(image.device.type, autocast, enabled=autocast is not None):
        return network(image, effort=effort).image.float()


def _is_finite(image: Tensor) -> bool:
    """Of the sum, which takes no memory: one value that is not finite makes it so."""
    return bool(torch.isfinite(image.sum()))
