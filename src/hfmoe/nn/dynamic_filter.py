"""Dynamic filter: every pixel predicts its own small kernels."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn


def apply_filters(
    x: Float[Tensor, "b c h w"], kernels: Float[Tensor, "b g t h w"]
) -> Float[Tensor, "b c h w"]:
    """Filter each pixel with its own k x k kernels (t = k^2, channel group g shares one), zero borders.

    Shifted multiply-adds: an im2col would hold t copies of `x`.
    """
    size = round(kernels.shape[2] ** 0.5)
    height, width = x.shape[2:]
    padded = F.pad(x, (size // 2,) * 4)
    grouped = rearrange(padded, "b (g m) h w -> b g m h w", g=kernels.shape[1])
    out = torch.zeros_like(grouped[..., :height, :width])
    for tap in range(size * size):
        row, column = divmod(tap, size)
        shifted = grouped[..., row : row + height, column : column + width]
        out = torch.addcmul(out, shifted, kernels[:, :, None, tap])
    return rearrange(out, "b g m h w -> b (g m) h w")


def planes(layer: nn.Linear, x: Float[Tensor, "b i n"]) -> Float[Tensor, "b o n"]:
    """A linear layer of columns instead of rows: with few channels, several times as fast on a CPU."""
    weight = layer.weight.expand(x.shape[0], -1, -1)
    return torch.baddbmm(layer.bias[:, None], weight, x)


class DynamicFilter(nn.Module):
    """x + out(filtered values): kernels per pixel, predicted by 1x1 convolutions, from the identity.

    The predicted kernel is the difference from the identity, so a fresh layer returns its input.
    `width` channels are filtered, `width / groups` of them by one kernel, and predict the kernels.
    """

    def __init__(self, dim: int, *, width: int, groups: int, kernel: int) -> None:
        super().__init__()
        self.value = nn.Linear(dim, width)
        self.kernel = nn.Linear(width, groups * kernel * kernel)
        self.out = nn.Linear(width, dim)
        nn.init.zeros_(self.kernel.weight)
        nn.init.zeros_(self.kernel.bias)
        nn.init.zeros_(self.out.bias)
        self.groups = groups

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Give `x` plus what its own kernels make of it."""
        height = x.shape[2]
        values = planes(self.value, rearrange(x, "b c h w -> b c (h w)"))
        kernels = planes(self.kernel, values)
        kernels = rearrange(kernels, "b (g t) (h w) -> b g t h w", g=self.groups, h=height)
        filtered = apply_filters(rearrange(values, "b c (h w) -> b c h w", h=height), kernels)
        out = self.out(rearrange(filtered, "b c h w -> b (h w) c"))
        return rearrange(out, "b (h w) c -> b c h w", h=height).add_(x)


class DepthwiseFilter(nn.Module):
    """Ablation of `DynamicFilter`: x + depthwise convolution, the same kernel at every pixel."""

    def __init__(self, dim: int, *, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim, dim, kernel, padding=kernel // 2, groups=dim)
        nn.init.zeros_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Give `x` plus its depthwise convolution."""
        return x + self.conv(x)
