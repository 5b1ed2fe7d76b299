"""Learned perceptual image patch similarity (LPIPS, version 0.1): Zhang et al., arXiv 1801.03924."""

import torch
from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor, nn

from hfmoe.models.features import ALEXNET_ENDS, VGG, VGG16_ENDS, ImageNetScale, alexnet, taps, vgg

WIDTHS = {"alex": (64, 192, 384, 256, 256), "vgg": (64, 128, 256, 512, 512)}
"""Channels of the compared features, by backbone."""

SMALLEST = {"alex": 31, "vgg": 16}
"""Least side of an image that reaches the last features."""

_EPSILON = 1e-10


class LPIPS(nn.Module):
    """Distance of images through AlexNet ("alex") or VGG16 ("vgg"): 0 for equal ones, more is worse.

    Features of five depths are scaled to length 1 at each pixel; their squared differences are weighted by
    channel (`heads`), summed, and averaged over pixels. Weights: see `hfmoe.metrics.weights`.
    """

    def __init__(self, backbone: str) -> None:
        super().__init__()
        if backbone not in WIDTHS:
            raise ValueError(f"backbone {backbone!r} must be one of {', '.join(WIDTHS)}")
        self.backbone = backbone
        self.scale = ImageNetScale()
        self.features = alexnet() if backbone == "alex" else vgg(VGG["vgg16"])
        self.places = ALEXNET_ENDS if backbone == "alex" else VGG16_ENDS
        self.heads = nn.ParameterList(torch.ones(width) for width in WIDTHS[backbone])

    def forward(
        self, image: Float[Tensor, "b 3 h w"], target: Float[Tensor, "b 3 h w"]
    ) -> Float[Tensor, " b"]:
        """The distance of each image in [0, 1] from its target; ValueError below `SMALLEST` pixels."""
        height, width = image.shape[-2:]
        smallest = SMALLEST[self.backbone]
        if min(height, width) < smallest:
            raise ValueError(f"LPIPS needs {smallest} x {smallest} pixels, not {height} x {width}")
        total = image.new_zeros(len(image))
        for ours, theirs, head in zip(self._seen(image), self._seen(target), self.heads, strict=True):
            difference = (ours - theirs).square() * rearrange(head, "c -> c 1 1")
            total = total + reduce(difference.sum(1), "b h w -> b", "mean")
        return total

    def _seen(self, image: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """Features of unit length at each pixel."""
        found = taps(self.features, self.scale(image), places=self.places)
        return [x / (torch.linalg.vector_norm(x, dim=1, keepdim=True) + _EPSILON) for x in found]
