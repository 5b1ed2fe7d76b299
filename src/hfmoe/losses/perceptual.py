"""Distance between the features that a network trained on photos sees."""

from collections.abc import Collection, Mapping
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hfmoe.models.features import VGG, Depth, ImageNetScale, taps, vgg

LAYERS: Mapping[Depth, Mapping[str, float]] = MappingProxyType(
    {
        depth: MappingProxyType(
            {
                f"conv{stage}_{len(widths)}": 0.1 if stage <= 2 else 1.0
                for stage, widths in enumerate(stages, start=1)
            }
        )
        for depth, stages in VGG.items()
    }
)
"""The last convolution of every stage with its weight."""


def layer_names(depth: Depth) -> tuple[str, ...]:
    """Name the convolutions: conv1_1, conv1_2, conv2_1, ..."""
    stages = enumerate(VGG[depth], start=1)
    return tuple(f"conv{stage}_{place}" for stage, widths in stages for place in range(1, len(widths) + 1))


class VGGFeatures(nn.Module):
    """The convolutions of VGG16 or VGG19 up to the deepest layer asked for; they never train.

    Parameters are named as in torchvision's files ("features.0.weight") and computed with in their own dtype,
    under autocast too. Source: Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale
    Image Recognition", ICLR 2015.
    """

    def __init__(self, depth: Depth, layers: Collection[str]) -> None:
        super().__init__()
        names = layer_names(depth)
        unknown = set(layers) - set(names)
        if unknown or not layers:
            listed = ", ".join(sorted(unknown)) or "none"
            raise ValueError(f"layers of {depth} must be some of {', '.join(names)}, not {listed}")
        self.scale = ImageNetScale()
        self.features = up_to(max(layers, key=names.index), depth)
        convolutions = [place for place, part in enumerate(self.features) if isinstance(part, nn.Conv2d)]
        self._layers = {
            name: place for name, place in zip(names, convolutions, strict=False) if name in layers
        }
        self.requires_grad_(False)

    def forward(self, image: Float[Tensor, "b c h w"]) -> dict[str, Float[Tensor, "b d hl wl"]]:
        """Return each layer's features before its ReLU for images in [0, 1]; one channel stands for three."""
        with torch.autocast(image.device.type, enabled=False):
            found = taps(self.features, self.scale(image), places=tuple(self._layers.values()))
        return dict(zip(self._layers, found, strict=True))


def up_to(layer: str, depth: Depth) -> nn.Sequential:
    """Build the network up to a convolution such as conv3_4, without the ReLU that follows it."""
    stage, place = map(int, layer.removeprefix("conv").split("_"))
    stages = VGG[depth][:stage]
    *layers, _ = vgg((*stages[:-1], stages[-1][:place]))
    return nn.Sequential(*layers)


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
