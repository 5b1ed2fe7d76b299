"""Dynamic filter: every pixel predicts its own small kernels."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from hfmoe.nn.cpu_ops import PointwiseConv, add_, filter_pixels, linear_maps


class DynamicFilter(nn.Module):
    """x + out(filtered values): kernels per pixel, predicted by 1x1 convolutions, from the identity.

    The predicted kernel is the difference from the identity, so a fresh layer returns its input.
    `width` channels are filtered, `width / groups` of them by one kernel, and predict the kernels.
    """

    def __init__(self, dim: int, *, width: int, groups: int, kernel: int) -> None:
        super().__init__()
        self.value = nn.Linear(dim, width)
        self.kernel = nn.Linear(width, groups * kernel * kernel)
        self.out = PointwiseConv(width, dim)
        nn.init.zeros_(self.kernel.weight)
        nn.init.zeros_(self.kernel.bias)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]
        self.groups = groups

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return `x` plus its values filtered by the kernels they predict."""
        values = linear_maps(self.value, x)
        filtered = filter_pixels(values, self.kernels(values))
        return add_(self.out(filtered.contiguous(memory_format=torch.channels_last)), x)

    def kernels(self, values: Float[Tensor, "b v h w"]) -> Float[Tensor, "b g t h w"]:
        """Return what each pixel's kernels, t taps for each of g groups, add to the identity."""
        return rearrange(linear_maps(self.kernel, values), "b (g t) h w -> b g t h w", g=self.groups)


class DepthwiseFilter(nn.Module):
    """Ablation of `DynamicFilter`: x + depthwise convolution, the same kernel at every pixel."""

    def __init__(self, dim: int, *, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim, dim, kernel, padding=kernel // 2, groups=dim)
        nn.init.zeros_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return `x` plus its depthwise convolution."""
        return x + self.conv(x)
