"""Energy by radial frequency: whether a result is sharper than the truth, and where."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from hfmoe.image.colour import luma

BINS = 32


class Spectrum(NamedTuple):
    """Mean energy of the luma in rings of radial frequency; frequencies in cycles a pixel, up to 0.5."""

    frequency: Float[Tensor, " n"]
    energy: Float[Tensor, " n"]


def radial_spectrum(image: Float[Tensor, "c h w"], *, bins: int = BINS) -> Spectrum:
    """Return energy of an image's luma without its mean, under a Hann window, by ring of equal width.

    Rings beyond 0.5 cycles a pixel (the corners) are left out. Rings that hold no frequency of this image
    have NaN.
    """
    bright = luma(image.detach().cpu().double())[0]
    height, width = bright.shape
    window = torch.outer(*(torch.hann_window(n, periodic=False).double() for n in (height, width)))
    energy = torch.fft.fft2((bright - bright.mean()) * window).abs().square()
    rows, columns = (torch.fft.fftfreq(n).double() for n in (height, width))
    ring = (torch.hypot(rows[:, None], columns[None, :]) * 2 * bins).floor().long()
    kept = (ring < bins) & ((rows[:, None] != 0) | (columns[None, :] != 0))
    sums, counts = torch.zeros(bins).double(), torch.zeros(bins).double()
    sums.index_add_(0, ring[kept], energy[kept])
    counts.index_add_(0, ring[kept], torch.ones_like(energy[kept]))
    return Spectrum((torch.arange(bins).double() + 0.5) / (2 * bins), sums / counts)


def energy_ratio(
    image: Float[Tensor, "c h w"], truth: Float[Tensor, "d H W"], *, bins: int = BINS
) -> Float[Tensor, " n"]:
    """Return energy of an image over its truth's by frequency: 1 is as sharp, above 1 sharper than the truth.

    Raises ValueError when the sizes differ.
    """
    if image.shape[-2:] != truth.shape[-2:]:
        sizes = f"{tuple(image.shape[-2:])} and {tuple(truth.shape[-2:])}"
        raise ValueError(f"image and truth have sizes {sizes}, which must be the same")
    return radial_spectrum(image, bins=bins).energy / radial_spectrum(truth, bins=bins).energy
