"""Trace of one forward pass: the bands, the routing, the gates and the filters of a network."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from einops import reduce
from jaxtyping import Float
from torch import Tensor, nn

from hfmoe.models.network import HFMoE, LayerRouting
from hfmoe.nn.cpu_ops import linear_maps
from hfmoe.nn.dynamic_filter import DynamicFilter
from hfmoe.nn.experts import MoEFFN
from hfmoe.nn.frequency import Bands, FrequencySplit, NoSplit, upsample, window_energy


class NetworkTrace(NamedTuple):
    """Features, routing and gates of one pass; maps are of the padded image, each at its own resolution.

    low, high: root mean square of the bands' channels; energy: the router's measure of each finest window;
    routing: by mixture, named; gate_low, gate_high: mean over channels of the fusion's gates (None without
    cross-attention); kernels: the dynamic filter's kernels (None without it), as they add to the identity.
    """

    restored: Float[Tensor, "1 c H W"]
    low: Float[Tensor, "hl wl"]
    high: Float[Tensor, "hf wf"]
    energy: Float[Tensor, "wy wx"]
    routing: dict[str, LayerRouting]
    gate_low: Float[Tensor, "hl wl"] | None
    gate_high: Float[Tensor, "hl wl"] | None
    kernels: Float[Tensor, "g t hf wf"] | None


@torch.no_grad()
def trace(network: HFMoE, image: Float[Tensor, "1 c h w"], *, effort: float = 0.5) -> NetworkTrace:
    """Run a network on one image in [0, 1] and keep what its parts said."""
    heard: dict[str, Any] = {}
    cross = network.fusion.cross
    with ExitStack() as stack:
        stack.enter_context(listening(network.split, lambda _, bands: heard.update(bands=bands)))
        stack.enter_context(listening(network.filter, lambda given, _: heard.update(detail=given)))
        if cross is not None:
            for name, part in (("low", cross.gate_low), ("high", cross.gate_high)):
                keep = _keep(heard, name)
                stack.enter_context(listening(part.gate, keep))
        restored = network(image, effort=effort)
    bands: Bands = heard["bands"]
    return NetworkTrace(
        restored=restored.image,
        low=_rms(bands.low),
        high=_rms(bands.high),
        energy=window_energy(bands.detail, window=2 * network.config.window)[0],
        routing=dict(zip(mixture_names(network), restored.routing, strict=True)),
        gate_low=heard.get("low"),
        gate_high=heard.get("high"),
        kernels=filter_kernels(network.filter, heard["detail"]),
    )


@contextmanager
def listening(part: nn.Module, tell: Callable[[Tensor, Any], object]) -> Iterator[None]:
    """Call `tell` with a part's first argument and its result at each call, as long as the context lasts."""
    handle = part.register_forward_hook(lambda _, given, result: _ignore(tell(given[0], result)))
    try:
        yield
    finally:
        handle.remove()


def mixture_names(network: HFMoE) -> list[str]:
    """Return the mixtures in the order in which they run: down the scales, then up."""
    down = [(f"down, scale {level}", blocks) for level, blocks in enumerate(network.low.encoders)]
    up = [(f"up, scale {level}", blocks) for level, blocks in enumerate(network.low.decoders)]
    return [
        f"{place}, block {index}"
        for place, blocks in [*down, *reversed(up)]
        for index, block in enumerate(blocks.children())
        if isinstance(block.ffn, MoEFFN)
    ]


def mixtures(network: HFMoE) -> list[MoEFFN]:
    """Return the mixtures themselves, in the same order."""
    places = [*network.low.encoders, *reversed(list(network.low.decoders))]
    ffns = [block.ffn for blocks in places for block in blocks.children()]
    return [ffn for ffn in ffns if isinstance(ffn, MoEFFN)]


def filter_kernels(part: nn.Module, detail: Float[Tensor, "1 c h w"]) -> Float[Tensor, "g t h w"] | None:
    """Return the kernels that a dynamic filter predicts for its input; None for its ablation."""
    if not isinstance(part, DynamicFilter):
        return None
    return part.kernels(linear_maps(part.value, detail))[0]


class ImageBands(NamedTuple):
    """An image's low band, enlarged to its size, and its high band."""

    low: Float[Tensor, "c h w"]
    high: Float[Tensor, "c h w"]


@torch.no_grad()
def image_bands(network: HFMoE, image: Float[Tensor, "1 c h w"]) -> ImageBands:
    """Return the image split by the mean of the kernels that the network splits its features with.

    Without a split, its 2x2 means and what these leave: what the low path and the router see.
    """
    height, width = image.shape[-2:]
    padded = F.pad(image, (0, width % 2, 0, height % 2), mode="replicate")
    split: FrequencySplit | NoSplit = NoSplit()
    if isinstance(network.split, FrequencySplit):
        split = FrequencySplit(image.shape[1], learned=False)
        split.logits = network.split.logits.softmax(-1).mean(0).log().expand(image.shape[1], -1)
    bands = split(padded)
    return ImageBands(upsample(bands.low)[0, :, :height, :width], bands.detail[0, :, :height, :width])


def _keep(heard: dict[str, Any], name: str) -> Callable[[Tensor, Tensor], None]:
    return lambda _, gate: heard.update({name: reduce(gate.sigmoid(), "1 h w r -> h w", "mean")})


def _rms(band: Float[Tensor, "1 c h w"]) -> Float[Tensor, "h w"]:
    return reduce(band.square(), "1 c h w -> h w", "mean").sqrt()


def _ignore(_: object) -> None:
    return None
