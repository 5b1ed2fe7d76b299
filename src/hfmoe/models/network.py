"""The HF-MoE-IR network, assembled from the parts in `hfmoe.nn`."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from hfmoe.models.config import HFMoEConfig
from hfmoe.nn.attention import WindowAttention
from hfmoe.nn.block import HybridWindowBlock
from hfmoe.nn.cpu_ops import PointwiseConv, add_to_view_, exporting
from hfmoe.nn.dynamic_filter import DepthwiseFilter, DynamicFilter
from hfmoe.nn.experts import DenseFFN, MoEFFN
from hfmoe.nn.frequency import FrequencySplit, NoSplit, inject_noise, window_energy
from hfmoe.nn.fusion import CrossAttention, Fusion
from hfmoe.nn.multiscale import MultiScale
from hfmoe.nn.repconv import RepConv
from hfmoe.nn.routing import Effort, LayerRouting, Perturbation
from hfmoe.nn.stem import Stem
from hfmoe.nn.texture import TextureBlock
from hfmoe.nn.upsampler import Upsampler

__all__ = ["HFMoE", "LayerRouting", "Perturbation", "Restored"]


class Restored(NamedTuple):
    """Image (not clamped), and the routing of each mixture, with its losses."""

    image: Float[Tensor, "b c h w"]
    routing: tuple[LayerRouting, ...] = ()

    @property
    def balance(self) -> Float[Tensor, ""]:
        """Mean balance loss of the mixtures; 0 without any."""
        return self._mean([layer.balance for layer in self.routing])

    @property
    def z(self) -> Float[Tensor, ""]:
        """Mean z-loss of the mixtures; 0 without any."""
        return self._mean([layer.z for layer in self.routing])

    def _mean(self, losses: list[Tensor]) -> Float[Tensor, ""]:
        zero = self.image.new_zeros((), dtype=torch.float32)
        return sum(losses, zero) * (1 / max(len(losses), 1))


class HFMoE(nn.Module):
    """Joint restoration and super-resolution by `config.scale`.

    Takes any height and width from 1 up: the image is padded by its border to a multiple of
    `config.size_multiple` and the result is cropped.
    """

    def __init__(self, config: HFMoEConfig) -> None:
        super().__init__()
        dim, low = config.dim, config.low_dims[0]
        self.config = config
        self.stem = Stem(config.channels, dim, norm=config.stem_norm, unshuffle=config.folding)
        self.split = build_split(config)
        self.enter_low = PointwiseConv(dim, low)
        self.low = build_low(config)
        self.texture = nn.Sequential(*(build_texture(config) for _ in range(config.texture_blocks)))
        self.filter = build_filter(config)
        self.fusion = Fusion(dim, low, cross=build_cross(config))
        self.head = nn.Sequential(
            RepConv(dim, dim) if config.reparam else nn.Conv2d(dim, dim, 3, padding=1),
            nn.SiLU(),
        )
        self.upsampler = Upsampler(dim, config.channels, scale=config.scale, folding=config.folding)

    def mixtures(self) -> list[MoEFFN]:
        """List the mixtures of experts in the order of `Restored.routing`."""
        return self.low.mixtures()

    def forward(
        self,
        image: Float[Tensor, "b c h w"],
        *,
        effort: Effort = 0.5,
        perturb: Perturbation | None = None,
    ) -> Restored:
        """Restore images in [0, 1]; `effort` in [0, 1] moves the routing from cheapest to heaviest expert.

        `perturb` is what training adds; without it the result is deterministic.
        """
        height, width = image.shape[2:]
        image = pad_to_multiple(image, self.config.size_multiple)
        features = self.stem(image)
        low, high, detail = self.split(features)
        if perturb is not None and perturb.hf_noise:
            noisy = inject_noise(high, amount=perturb.hf_noise, generator=perturb.generator)
            high, detail = noisy, detail + (noisy - high)
        energy = window_energy(detail.detach(), window=2 * self.config.window)
        del detail  # without a split it is a map of its own, which memory should not hold to the end
        encoded, routing = self.low(self.enter_low(low), energy, effort=effort, perturb=perturb)
        texture = self.filter(self.texture(high))
        fused = add_to_view_(self.fusion(encoded, texture), features)
        restored = self.upsampler(self.head(fused), image)
        scale = self.config.scale
        restored = restored[:, :, : height * scale, : width * scale]
        return Restored(restored, routing)


def pad_to_multiple(image: Float[Tensor, "b c h w"], multiple: int) -> Float[Tensor, "b c h2 w2"]:
    """Repeat the last row and column until both sides are multiples."""
    if exporting():
        return _pad_free_sizes(image, multiple)
    bottom, right = -image.shape[2] % multiple, -image.shape[3] % multiple
    return F.pad(image, (0, right, 0, bottom), mode="replicate") if bottom or right else image


LARGEST = 2**16
"""Multiples of the network's grid along a side of an image in an exported graph, at most."""


def _pad_free_sizes(image: Float[Tensor, "b c h w"], multiple: int) -> Float[Tensor, "b c h2 w2"]:
    """`pad_to_multiple` in a graph whose sides are free.

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


def build_split(config: HFMoEConfig) -> FrequencySplit | NoSplit:
    """The frequency split, or none."""
    if not config.frequency_split:
        return NoSplit()
    return FrequencySplit(config.dim, learned=config.learned_split)


def build_low(config: HFMoEConfig) -> MultiScale:
    """The low path: attention blocks at every scale, alternately shifted."""
    total = sum(config.encoder_blocks) + sum(config.decoder_blocks)
    place = iter(range(total))
    encoders, decoders = [], []
    for level, count in enumerate(config.encoder_blocks):
        encoders.append(
            nn.ModuleList(build_block(config, level, i, next(place), total) for i in range(count))
        )
    for level, count in enumerate(config.decoder_blocks):
        start = config.encoder_blocks[level]
        decoders.append(
            nn.ModuleList(build_block(config, level, start + i, next(place), total) for i in range(count))
        )
    return MultiScale(config.low_dims, encoders=encoders, decoders=decoders)


def build_block(config: HFMoEConfig, level: int, index: int, place: int, total: int) -> HybridWindowBlock:
    """Block `index` of its scale; only the coarsest scale may deform its windows."""
    dim = config.low_dims[level]
    coarsest = level == len(config.low_dims) - 1
    attention = WindowAttention(
        dim,
        heads=dim // config.head_dim,
        window=config.window,
        shifted=index % 2 == 1,
        reach=config.deformable_reach if coarsest else 0.0,
        group=config.token_group,
    )
    hidden = [max(1, round(dim * width)) for width in config.experts]
    ffn = (
        MoEFFN(dim, hidden=tuple(hidden), window=config.window, top_k=config.top_k)
        if len(hidden) > 1
        else DenseFFN(dim, hidden=hidden[0])
    )
    return HybridWindowBlock(
        dim, attention=attention, ffn=ffn, residual_scale=config.residual_scale, depth=(place + 1) / total
    )


def build_texture(config: HFMoEConfig) -> TextureBlock:
    """One conv-gated block of the high path."""
    return TextureBlock(
        config.dim,
        hidden=config.texture_hidden,
        kind=config.texture,
        norm=config.texture_norm,
        residual_scale=config.residual_scale,
    )


def build_filter(config: HFMoEConfig) -> nn.Module:
    """The dynamic filter head, or its ablation."""
    if not config.dynamic_filter:
        return DepthwiseFilter(config.dim, kernel=config.dynamic_kernel)
    return DynamicFilter(
        config.dim, width=config.dynamic_width, groups=config.dynamic_groups, kernel=config.dynamic_kernel
    )


def build_cross(config: HFMoEConfig) -> CrossAttention | None:
    """Cross-attention between the bands, or None, its ablation."""
    if not config.cross_attention:
        return None
    return CrossAttention(
        config.dim,
        config.low_dims[0],
        reduced=config.cross_dim,
        heads=1,
        window=config.window,
        stride=min(config.cross_stride, 2 ** (len(config.low_dims) - 1)),
    )
