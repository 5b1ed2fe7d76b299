"""Naturalness of an image without a truth: NIQE.

Mittal, Soundararajan and Bovik, "Making a completely blind image quality analyzer", 2013.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from hfmoe.image.colour import luma
from hfmoe.image.resize import resize

BLOCK = 96
"""Side of the squares whose statistics are taken; half of it at the second scale."""

FEATURES = 36
SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1))
_WINDOW = 7
_SHAPES = torch.arange(0.2, 10.001, 0.001, dtype=torch.float64)
_MOMENTS = torch.exp(2 * torch.lgamma(2 / _SHAPES) - torch.lgamma(1 / _SHAPES) - torch.lgamma(3 / _SHAPES))
"""Squared mean of absolute values over the mean square of generalised Gaussians of these shapes."""


class NIQE(nn.Module):
    """Distance of an image's statistics from those of natural photos, without a truth; more is worse.

    `mean` and `covariance` are those of 36 features over undistorted photos: see `hfmoe.metrics.weights`.
    """

    mean: Tensor
    covariance: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(FEATURES, dtype=torch.float64))
        self.register_buffer("covariance", torch.eye(FEATURES, dtype=torch.float64))

    def forward(
        self, image: Float[Tensor, "b 3 h w"], target: Float[Tensor, "b 3 h w"] | None = None
    ) -> Float[Tensor, " b"]:
        """Return the distance of each image in [0, 1]; `target` is not looked at.

        Raises ValueError below 192 x 96 pixels: a covariance needs two squares.
        """
        return torch.stack([self._distance(natural_features(each[None])) for each in image])

    def _distance(self, features: Float[Tensor, "n 36"]) -> Float[Tensor, ""]:
        known = features[~features.isnan().any(1)]
        if len(known) < 2:
            raise ValueError("NIQE needs two squares that are not flat")
        difference = self.mean - features.nanmean(0)
        spread = torch.linalg.pinv((self.covariance + torch.cov(known.T)) / 2)
        return (difference @ spread @ difference).sqrt()


def natural_features(image: Float[Tensor, "1 3 h w"]) -> Float[Tensor, "n 36"]:
    """Return the statistics of the luma of each square of 96 pixels of an image in [0, 1], at two scales.

    A square of one colour has none: its row holds NaN. Raises ValueError below 192 x 96 pixels.
    """
    rows, columns = (side // BLOCK for side in image.shape[-2:])
    if rows * columns < 2:
        height, width = image.shape[-2:]
        raise ValueError(f"NIQE needs two squares of {BLOCK} pixels, not {height} x {width}")
    levels = (255 * luma(image.double()[..., : rows * BLOCK, : columns * BLOCK])).round()
    scales = []
    for side, plane in ((BLOCK, levels), (BLOCK // 2, resize(levels / 255, size=_half(levels)) * 255)):
        squares = rearrange(_normalised(plane), "1 1 (r s) (c t) -> (r c) s t", s=side, t=side)
        scales.append(torch.stack([_statistics(square) for square in squares]))
    return torch.cat(scales, 1)


def _half(plane: Tensor) -> tuple[int, int]:
    return plane.shape[-2] // 2, plane.shape[-1] // 2


def _normalised(plane: Float[Tensor, "1 1 h w"]) -> Float[Tensor, "1 1 h w"]:
    """Return levels less their local mean, over their local deviation."""
    offsets = torch.arange(_WINDOW, dtype=torch.float64) - _WINDOW // 2
    row = torch.exp(-(offsets**2) / (2 * (_WINDOW / 6) ** 2))
    kernel = (torch.outer(row, row) / row.sum() ** 2)[None, None]

    def blurred(values: Tensor) -> Tensor:
        return F.conv2d(F.pad(values, (_WINDOW // 2,) * 4, mode="replicate"), kernel)

    mean = blurred(plane)
    return (plane - mean) / ((blurred(plane**2) - mean**2).abs().sqrt() + 1)


def _statistics(square: Float[Tensor, "s s"]) -> Float[Tensor, " 18"]:
    """Return shape and scale of a square's values; shape, mean and scales of products of neighbours."""
    shape, left, right = _asymmetric_fit(square)
    features = [shape, (left + right) / 2]
    for down, across in SHIFTS:
        shape, left, right = _asymmetric_fit(square * torch.roll(square, (down, across), (0, 1)))
        ratio = torch.exp(torch.lgamma(2 / shape) - torch.lgamma(1 / shape))
        features += [shape, (right - left) * ratio, left, right]
    return torch.stack(features)


def _asymmetric_fit(values: Float[Tensor, "s t"]) -> tuple[Tensor, Tensor, Tensor]:
    """Return shape, left and right scale of an asymmetric generalised Gaussian (Lasmar et al., 2009)."""
    left, right = (values[side].square().mean().sqrt() for side in (values < 0, values > 0))
    skew = left / right
    moment = values.abs().mean() ** 2 / values.square().mean()
    due = moment * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    shape = _SHAPES[(_MOMENTS - due).square().argmin()]
    scale = torch.exp((torch.lgamma(1 / shape) - torch.lgamma(3 / shape)) / 2)
    return shape, left * scale, right * scale
