"""The convolutions of networks that learned to name what photos show, for metrics that look through them."""

from collections.abc import Callable, Sequence
from itertools import chain

from jaxtyping import Float
from torch import Tensor, nn

VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Widths of the convolutions between two poolings."""

VGG16_ENDS = (3, 8, 15, 22, 29)
"""Places of each stage's last ReLU (relu1_2, 2_2, 3_3, 4_3, 5_3) in `vgg16`."""

ALEXNET_ENDS = (1, 4, 7, 9, 11)
"""Places of the ReLUs in `alexnet`."""


def vgg16(pool: Callable[[int], nn.Module] = lambda _: nn.MaxPool2d(2)) -> nn.Sequential:
    """The convolutions of VGG16 (arXiv 1409.1556), numbered as torchvision's `features`.

    `pool` makes the layer between stages from its number of channels.
    """
    layers: list[nn.Module] = []
    before = 3
    for stage, widths in enumerate(VGG16):
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
    """What the layers at these places make of x, in order."""
    found = []
    for place, layer in enumerate(layers):
        x = layer(x)
        if place in places:
            found.append(x)
    return found
