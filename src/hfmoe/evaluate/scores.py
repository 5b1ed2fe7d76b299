"""Scores of one restored image against its target."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import NamedTuple

from einops import reduce, repeat
from jaxtyping import Float
from torch import Tensor

from hfmoe.image.colour import luma
from hfmoe.image.picture import round_to_8bit
from hfmoe.image.resize import crop_border
from hfmoe.metrics.psnr import psnr
from hfmoe.metrics.ssim import ssim
from hfmoe.metrics.weights import load_dists, load_lpips, load_niqe

Distance = Callable[[Float[Tensor, "b 3 h w"], Float[Tensor, "b 3 h w"]], Float[Tensor, " b"]]
"""A distance of restored images from their truths, RGB in [0, 1]; its weights are a file."""


@dataclass(frozen=True)
class Scores:
    """PSNR in dB and SSIM, on the luma and on all channels; distances that need weights may be absent."""

    psnr_y: float
    ssim_y: float
    psnr_rgb: float
    ssim_rgb: float
    lpips: float | None = None
    dists: float | None = None
    niqe: float | None = None

    def present(self) -> dict[str, float]:
        """Return the scores that there are, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}


METRICS = tuple(field.name for field in fields(Scores))
LOWER_IS_BETTER = ("lpips", "dists", "niqe")
COLUMNS = {
    "psnr_y": ("PSNR Y", ".2f"),
    "ssim_y": ("SSIM Y", ".4f"),
    "psnr_rgb": ("PSNR RGB", ".2f"),
    "ssim_rgb": ("SSIM RGB", ".4f"),
    "lpips": ("LPIPS", ".4f"),
    "dists": ("DISTS", ".4f"),
    "niqe": ("NIQE", ".2f"),
}
"""Heading and number format of each score."""


class Comparable(NamedTuple):
    """A result and its truth as 8-bit levels in [0, 1] (float64), with equally many channels, no border."""

    result: Float[Tensor, "1 c h w"]
    truth: Float[Tensor, "1 c h w"]


def comparable(
    restored: Float[Tensor, "1 c h w"], target: Float[Tensor, "1 d H W"], *, border: int
) -> Comparable:
    """Return both images clamped and rounded to 8 bits, without `border` pixels on each side.

    Raises ValueError when the restored image has NaN, another size, or no colours for a colour target.
    """
    same_size = restored.ndim == 4 and restored.shape[-2:] == target.shape[-2:]
    if not same_size or len(restored) != len(target) or restored.shape[1] not in (target.shape[1], 3):
        raise ValueError(f"restored shape {tuple(restored.shape)} must be {tuple(target.shape)}")
    result, truth = (
        crop_border(round_to_8bit(image.cpu().double()), border=border) for image in (restored, target)
    )
    if truth.shape[1] == 1:
        truth = repeat(truth, "b 1 h w -> b c h w", c=result.shape[1])
    return Comparable(result, truth)


def score_image(
    restored: Float[Tensor, "1 c h w"], target: Float[Tensor, "1 d H W"], *, border: int
) -> Scores:
    """Return PSNR and SSIM of one restored image; errors as those of `comparable`.

    Y is BT.601's luma; for a gray target it is the target itself and the mean of the restored channels.
    """
    result, truth = comparable(restored, target, border=border)
    if target.shape[1] == 1:
        result_y, truth_y = (reduce(image, "b c h w -> b 1 h w", "mean") for image in (result, truth))
    else:
        result_y, truth_y = luma(result), luma(truth)
    return Scores(
        psnr_y=psnr(result_y, truth_y).item(),
        ssim_y=ssim(result_y, truth_y).item(),
        psnr_rgb=psnr(result, truth).item(),
        ssim_rgb=ssim(result, truth).item(),
    )


def load_distances(lpips: Path | None, dists: Path | None, niqe: Path | None = None) -> dict[str, Distance]:
    """Load the distances whose weights are given, by the name of their score."""
    distances: dict[str, Distance] = {}
    if lpips is not None:
        distances["lpips"] = load_lpips(lpips)
    if dists is not None:
        distances["dists"] = load_dists(dists)
    if niqe is not None:
        distances["niqe"] = load_niqe(niqe)
    return distances


def distances_of(images: Comparable, distances: Mapping[str, Distance]) -> dict[str, float]:
    """Return the distances of one image by name; gray ones are three equal channels."""
    result, truth = (
        repeat(image, "b 1 h w -> b 3 h w") if image.shape[1] == 1 else image for image in images
    )
    return {name: distance(result.float(), truth.float()).item() for name, distance in distances.items()}


def mean_scores(scores: list[Scores]) -> Scores:
    """Return the plain mean of each score; absent where one image lacks it."""
    means: list[float | None] = []
    for name in METRICS:
        values = [getattr(each, name) for each in scores]
        means.append(None if None in values else math.fsum(values) / len(values))
    return Scores(*means)  # pyright: ignore[reportArgumentType]
