"""Frequency split: a low band at half the resolution and the residual high band."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

TAPS = 4
TYPICAL = 0.03
"""Root mean square of the high band of photos after a fresh stem: the router's energies lie around 0."""


class Bands(NamedTuple):
    """Inputs of the two paths, and `detail`, the input minus `upsample(low)`, whose energy the router sees.

    Where the frequencies are split, the high path gets the detail alone.
    """

    low: Float[Tensor, "b c hl wl"]
    high: Float[Tensor, "b c h w"]
    detail: Float[Tensor, "b c h w"]


def upsample(low: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
    """Bilinear enlargement by 2, pixel centres aligned with the stride of the low-pass."""
    return F.interpolate(low, scale_factor=2, mode="bilinear", align_corners=False)


def binomial_logits(dim: int) -> Float[Tensor, "dim 16"]:
    """Logits whose softmax is the 4x4 binomial kernel [1 3 3 1] x [1 3 3 1] / 64, one a channel."""
    row = torch.tensor([1.0, 3.0, 3.0, 1.0], device="cpu")
    return torch.outer(row, row).flatten().log().repeat(dim, 1).to(torch.get_default_device())


class FrequencySplit(nn.Module):
    """Depthwise low-pass with stride 2, and what it leaves.

    Each channel's kernel is a softmax over its taps, so it sums to 1 whatever is learned: the mean
    passes to the low band and a constant input has no high band, borders included (reflected).
    With `learned=False` the kernel is a buffer.
    """

    logits: Tensor

    def __init__(self, dim: int, *, learned: bool = True) -> None:
        super().__init__()
        if learned:
            self.logits = nn.Parameter(binomial_logits(dim))
        else:
            self.register_buffer("logits", binomial_logits(dim))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Bands:
        """Split a map of even height and width."""
        kernel = self.logits.softmax(-1).view(-1, 1, TAPS, TAPS)
        padded = F.pad(x, (1, 1, 1, 1), mode="reflect")
        low = F.conv2d(padded, kernel.to(x.dtype), stride=2, groups=x.shape[1])
        detail = x - upsample(low)
        return Bands(low, detail, detail)


class NoSplit(nn.Module):
    """The low path gets 2x2 means and the high path everything."""

    def forward(self, x: Float[Tensor, "b c h w"]) -> Bands:
        """Return 2x2 means as the low band and `x` itself as the high one."""
        low = F.avg_pool2d(x, 2)
        return Bands(low, x, x - upsample(low))


def window_energy(detail: Float[Tensor, "b c h w"], *, window: int) -> Float[Tensor, "b wy wx"]:
    """Log of the detail's root mean square over `TYPICAL`, in squares of `window` x `window` pixels."""
    norm = torch.linalg.vector_norm(detail, dim=1, keepdim=True)
    mean_square = F.avg_pool2d(norm.square(), window).squeeze(1) / detail.shape[1]
    return mean_square.div(TYPICAL**2).clamp_min(1e-4).log().mul(0.5)


def inject_noise(
    high: Float[Tensor, "b c h w"], *, amount: float, generator: torch.Generator | None
) -> Float[Tensor, "b c h w"]:
    """Add Gaussian noise of `amount` times the band's own root mean square (training only)."""
    rms = high.detach().square().mean((1, 2, 3), keepdim=True).sqrt()
    noise = torch.randn(high.shape, generator=generator, device=high.device, dtype=high.dtype)
    return high + amount * rms * noise
