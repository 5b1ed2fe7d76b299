"""Distance between the features that a network trained on photos sees."""

from collections.abc import Collection, Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

Depth = Literal["vgg16", "vgg19"]

BLOCKS: Mapping[Depth, tuple[int, ...]] = MappingProxyType(
    {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
)
"""Convolutions between two poolings; block n has WIDTHS[n - 1] channels."""

WIDTHS = (64, 128, 256, 512, 512)

LAYERS: Mapping[Depth, Mapping[str, float]] = MappingProxyType(
    {
        depth: MappingProxyType(
            {
                f"conv{block}_{count}": 0.1 if block <= 2 else 1.0
                for block, count in enumerate(blocks, start=1)
            }
        )
        for depth, blocks in BLOCKS.items()
    }
)
"""The last convolution of every block with its weight."""


def layer_names(depth: Depth) -> tuple[str, ...]:
    """Name the convolutions: conv1_1, conv1_2, conv2_1, ..."""
    blocks = enumerate(BLOCKS[depth], start=1)
    return tuple(f"conv{block}_{index}" for block, count in blocks for index in range(1, count + 1))


class VGGFeatures(nn.Module):
    """The convolutions of VGG16 or VGG19 up to the deepest layer asked for; they never train.

    Parameters are named as in torchvision's files ("features.0.weight") and computed with in their own dtype,
    under autocast too. Source: Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale
    Image Recognition", ICLR 2015.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, depth: Depth, layers: Collection[str]) -> None:
        super().__init__()
        names = layer_names(depth)
        unknown = set(layers) - set(names)
        if unknown or not layers:
            listed = ", ".join(sorted(unknown)) or "none"
            raise ValueError(f"layers of {depth} must be some of {', '.join(names)}, not {listed}")
        last = max(map(names.index, layers))
        self.features = build_convolutions(names[: last + 1])
        places = [place for place, part in enumerate(self.features) if isinstance(part, nn.Conv2d)]
        self._found = {place: name for place, name in zip(places, names, strict=False) if name in layers}
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1), persistent=False)
        self.requires_grad_(False)

    def forward(self, image: Float[Tensor, "b c h w"]) -> dict[str, Float[Tensor, "b d hl wl"]]:
        """Give what each layer makes of images in [0, 1], before its ReLU; one channel stands for three."""
        found = {}
        with torch.autocast(image.device.type, enabled=False):
            x = (image.to(self.mean.dtype) - self.mean) / self.deviation
            for place, part in enumerate(self.features):
                x = part(x)
                if place in self._found:
                    found[self._found[place]] = x
        return found


def build_convolutions(names: tuple[str, ...]) -> nn.Sequential:
    """Convolutions and ReLUs, a 2x2 maximum between blocks, ending with the last name's convolution."""
    blocks = [int(name[4]) for name in names]
    parts: list[nn.Module] = [nn.Conv2d(3, WIDTHS[0], 3, padding=1)]
    for before, block in pairwise(blocks):
        parts.append(nn.ReLU())
        if block > before:
            parts.append(nn.MaxPool2d(2))
        parts.append(nn.Conv2d(WIDTHS[before - 1], WIDTHS[block - 1], 3, padding=1))
    return nn.Sequential(*parts)


def perceptual(
    restored: Float[Tensor, "b c h w"],
    target: Float[Tensor, "b c h w"],
    *,
    network: VGGFeatures,
    weights: Mapping[str, float],
) -> Float[Tensor, ""]:
    """Weighted mean absolute difference of features before ReLU: sum_l w_l mean |f_l(x) - f_l(y)|.

    Images in [0, 1], normalised by ImageNet's mean and deviation. Source: Johnson et al., "Perceptual Losses
    for Real-Time Style Transfer and Super-Resolution", ECCV 2016; before ReLU as in Wang et al., "ESRGAN",
    2018; layers and weights as in Real-ESRGAN, 2021.
    """
    ours, theirs = network(restored), network(target)
    distances = [weight * (ours[name] - theirs[name]).abs().mean() for name, weight in weights.items()]
    return torch.stack(distances).sum()
