"""Deep image structure and texture similarity (DISTS): Ding et al., arXiv 2004.07728."""

import torch
import torch.nn.functional as F
from einops import reduce
from jaxtyping import Float
from torch import Tensor, nn

from hfmoe.models.features import VGG, VGG16_ENDS, ImageNetScale, taps, vgg

WIDTHS = (3, 64, 128, 256, 512, 512)
SMALLEST = 16
_EPSILON = 1e-6


class HannPool(nn.Module):
    """Root of the Hann-weighted mean of squares over 3 x 3 pixels, stride 2 (Henaff and Simoncelli, 2015)."""

    kernel: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        row = torch.hann_window(5, periodic=False)[1:-1]
        square = torch.outer(row, row)
        kernel = (square / square.sum()).expand(channels, 1, 3, 3)
        self.register_buffer("kernel", kernel.contiguous(), persistent=False)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
        """Pool each channel."""
        mean = F.conv2d(x.square(), self.kernel, stride=2, padding=1, groups=x.shape[1])
        return (mean + 1e-12).sqrt()


class DISTS(nn.Module):
    """Distance of images through VGG16 with smooth pooling: 0 for equal ones, more is worse.

    Means (texture, weights `alpha`) and correlations (structure, weights `beta`) of each channel of the
    image and of five depths are compared over the whole image. Weights: see `hfmoe.metrics.weights`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.scale = ImageNetScale()
        self.features = vgg(VGG["vgg16"], HannPool)
        self.alpha = nn.Parameter(torch.full((sum(WIDTHS),), 0.1))
        self.beta = nn.Parameter(torch.full((sum(WIDTHS),), 0.1))

    def forward(
        self, image: Float[Tensor, "b 3 h w"], target: Float[Tensor, "b 3 h w"]
    ) -> Float[Tensor, " b"]:
        """The distance of each image in [0, 1] from its target; ValueError below 16 x 16 pixels."""
        height, width = image.shape[-2:]
        if min(height, width) < SMALLEST:
            raise ValueError(f"DISTS needs {SMALLEST} x {SMALLEST} pixels, not {height} x {width}")
        pairs = [likeness(a, b) for a, b in zip(self._seen(image), self._seen(target), strict=True)]
        texture, structure = (torch.cat(columns, 1) for columns in zip(*pairs, strict=True))
        weight = self.alpha.sum() + self.beta.sum()
        return 1 - ((texture * self.alpha).sum(1) + (structure * self.beta).sum(1)) / weight

    def _seen(self, image: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        return [image, *taps(self.features, self.scale(image), places=VGG16_ENDS)]


def likeness(
    x: Float[Tensor, "b c h w"], y: Float[Tensor, "b c h w"]
) -> tuple[Float[Tensor, "b c"], Float[Tensor, "b c"]]:
    """Return the similarity of the means, and of the deviations from them, of each channel; 1 at most."""
    mean_x, mean_y = (reduce(each, "b c h w -> b c 1 1", "mean") for each in (x, y))
    variances = reduce((x - mean_x).square() + (y - mean_y).square(), "b c h w -> b c", "mean")
    covariance = reduce((x - mean_x) * (y - mean_y), "b c h w -> b c", "mean")
    mean_x, mean_y = mean_x[..., 0, 0], mean_y[..., 0, 0]
    texture = (2 * mean_x * mean_y + _EPSILON) / (mean_x**2 + mean_y**2 + _EPSILON)
    return texture, (2 * covariance + _EPSILON) / (variances + _EPSILON)
