"""The network as it is exported: folded, in parts that runtimes like, image and effort in, image out."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hfmoe.export.mixture import PlainMixture
from hfmoe.export.parts import PlainFilter, PlainFusion, PlainSplit, PlainTexture, PlainUpsampler, plain_norm
from hfmoe.models.folding import fold
from hfmoe.models.network import HFMoE
from hfmoe.nn.block import HybridWindowBlock
from hfmoe.nn.dynamic_filter import DynamicFilter
from hfmoe.nn.experts import MoEFFN
from hfmoe.nn.frequency import FrequencySplit, window_energy
from hfmoe.nn.texture import TextureBlock

LARGEST = 2**16
"""Multiples of the network's grid along a side of an image, at most."""


class ExportForm(nn.Module):
    """`HFMoE` for a graph whose batch, height and width are free; equal to it at 1e-4.

    `routing` says how mixtures run (hfmoe.export.mixture). The network it is made of stays as it is.
    """

    def __init__(self, network: HFMoE, *, routing: str) -> None:
        super().__init__()
        body = plain(network, routing=routing)
        self.config = network.config
        self.stem, self.split, self.enter_low, self.low = body.stem, body.split, body.enter_low, body.low
        self.texture, self.filter, self.fusion = body.texture, body.filter, body.fusion
        self.head, self.upsampler = body.head, body.upsampler

    def forward(
        self, image: Float[Tensor, "b c h w"], effort: Float[Tensor, ""]
    ) -> Float[Tensor, "b c h2 w2"]:
        """Restore images in [0, 1] (not clamped); `effort` in [0, 1] as in `HFMoE`."""
        height, width = (side * self.config.scale for side in image.shape[2:])
        image = extend(image, self.config.size_multiple)
        features = self.stem(image)
        bands = self.split(features)
        energy = window_energy(bands.detail, window=2 * self.config.window)
        encoded = self.low(self.enter_low(bands.low), energy, effort=effort)
        fused = self.fusion(encoded.x, self.filter(self.texture(bands.high))) + features
        return self.upsampler(self.head(fused), image)[:, :, :height, :width]


def extend(image: Float[Tensor, "b c h w"], multiple: int) -> Float[Tensor, "b c h2 w2"]:
    """Repeat the last row and column until both sides are multiples, for graphs whose sides are free.

    The counts of multiples become symbols of their own: every size inside is then a product of them, where
    expressions of the image's sides would grow from layer to layer (an export ten times as slow) and tie
    the program to the sizes it was traced with.
    """
    for axis in (2, 3):
        side = image.shape[axis]
        count = torch.scalar_tensor((side + multiple - 1) // multiple, dtype=torch.int64).item()
        torch._check(count >= 1)
        torch._check(count < LARGEST)
        place = torch.arange(count * multiple, device=image.device).clamp_max(side - 1)
        image = image.index_select(axis, place)
    return image


def plain(network: HFMoE, *, routing: str) -> HFMoE:
    """A folded copy of the network in plain parts."""
    body = fold(network).requires_grad_(False)
    body.stem.norm = plain_norm(body.stem.norm)
    if isinstance(body.split, FrequencySplit):
        body.split = PlainSplit(body.split)  # pyright: ignore[reportAttributeAccessIssue]
    texture = (PlainTexture(block) for block in body.texture if isinstance(block, TextureBlock))
    body.texture = nn.Sequential(*texture)
    if isinstance(body.filter, DynamicFilter):
        body.filter = PlainFilter(body.filter)
    body.fusion = PlainFusion(body.fusion)  # pyright: ignore[reportAttributeAccessIssue]
    body.upsampler = PlainUpsampler(body.upsampler)  # pyright: ignore[reportAttributeAccessIssue]
    for module in list(body.modules()):
        if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1):
            module.dilation = (1, 1)
        if isinstance(module, nn.SiLU):
            module.inplace = False
        if isinstance(module, HybridWindowBlock) and isinstance(module.ffn, MoEFFN):
            module.ffn = PlainMixture(module.ffn, routing=routing)
    return body
