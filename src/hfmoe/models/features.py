"""Convolutions of VGG and AlexNet, for perceptual losses and metrics."""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

Depth = Literal["vgg16", "vgg19"]

VGG: Mapping[Depth, tuple[tuple[int, ...], ...]] = MappingProxyType(
    {
        "vgg16": ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3),
        "vgg19": ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4),
    }
)
"""Widths of the convolutions between two poolings."""

VGG16_ENDS = (3, 8, 15, 22, 29)
"""Places of each stage's last ReLU (relu1_2, 2_2, 3_3, 4_3, 5_3) in the `vgg` of "vgg16"."""

ALEXNET_ENDS = (1, 4, 7, 9, 11)
"""Places of the ReLUs in `alexnet`."""


class ImageNetScale(nn.Module):
    """Images in [0, 1] as these networks expect them: less ImageNet's mean, over its deviation."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406])[:, None, None], persistent=False)
        self.register_buffer(
            "deviation", torch.tensor([0.229, 0.224, 0.225])[:, None, None], persistent=False
        )

    def forward(self, image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 3 h w"]:
        """Scale, in the precision of the network; one channel stands for three."""
        return (image.to(self.mean.dtype) - self.mean) / self.deviation


def vgg(
    stages: Sequence[Sequence[int]], pool: Callable[[int], nn.Module] = lambda _: nn.MaxPool2d(2)
) -> nn.Sequential:
    """Convolutions and ReLUs of VGG (arXiv 1409.1556), numbered as torchvision's `features`.

    `stages` are widths as in `VGG`, or the first of them; `pool` makes the layer between stages from its
    number of channels.
    """
    layers: list[nn.Module] = []
    before = 3
    for stage, widths in enumerate(stages):
        if stage:
            layers.append(pool(before))
        for width in widths:
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
            before = width
    return nn.Sequential(*layers)


def alexnet() -> nn.Sequential:
    """The convolutions of AlexNet (arXiv 1404.5997), numbered as torchvision's `features`."""
    return nn.Sequential(
        *(nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *chain.from_iterable(
            (nn.Conv2d(a, b, 3, padding=1), nn.ReLU()) for a, b in ((192, 384), (384, 256), (256, 256))
        ),
    )


def taps(
    layers: nn.Sequential, x: Float[Tensor, "b c h w"], *, places: Sequence[int]
) -> list[Float[Tensor, "b d h2 w2"]]:
    """Return the outputs of the layers at these places, in order."""
    found = []
    for place, layer in enumerate(layers):
        x = layer(x)
        if place in places:
            found.append(x)
    return found
