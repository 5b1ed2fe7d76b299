"""Dynamic filter: every pixel predicts its own small kernels."""

from collections.abc import Iterator
from typing import Any, cast

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from hfmoe.nn.pointwise import pointwise_conv


def apply_filters(
    x: Float[Tensor, "b c h w"], kernels: Float[Tensor, "b g t h w"]
) -> Float[Tensor, "b c h w"]:
    """Filter each pixel with its own k x k kernels (t = k^2, channel group g shares one), zero borders.

    Shifted multiply-adds: an im2col would hold t copies of `x`.
    """
    kernels = kernels.to(x.dtype)
    if torch.is_grad_enabled() and (x.requires_grad or kernels.requires_grad):
        return cast(Tensor, ShiftedProducts.apply(x, kernels))
    return shifted_products(x, kernels)


def shifted_products(
    x: Float[Tensor, "b c h w"], kernels: Float[Tensor, "b g t h w"]
) -> Float[Tensor, "b c h w"]:
    """The sum over taps of `x` moved by the tap times that tap's kernel value at each pixel."""
    grouped, size = padded_groups(x, kernels)
    out = torch.zeros_like(x)
    target = rearrange(out, "b (g m) h w -> b g m h w", g=kernels.shape[1])
    for tap, window in enumerate(windows_of(grouped, size=size)):
        target = torch.addcmul(target, window, kernels[:, :, None, tap])
    return rearrange(target, "b g m h w -> b (g m) h w")


class ShiftedProducts(torch.autograd.Function):
    """`shifted_products` with a backward pass that sums in place: a seventh of autograd's time on a CPU."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernels: Tensor) -> Tensor:
        """Filter, and keep both for the gradients."""
        ctx.save_for_backward(x, kernels)
        return shifted_products(x, kernels)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of `x` (the kernels' values moved back) and of the kernels (sums over their channels)."""
        x, kernels = ctx.saved_tensors
        grouped, size = padded_groups(x, kernels)
        gradient = rearrange(gradient, "b (g m) h w -> b g m h w", g=kernels.shape[1]).contiguous()
        for_kernels, for_grouped = torch.empty_like(kernels), torch.zeros_like(grouped)
        pairs = zip(windows_of(grouped, size=size), windows_of(for_grouped, size=size), strict=True)
        for tap, (window, into) in enumerate(pairs):
            torch.sum(window * gradient, 2, out=for_kernels[:, :, tap])
            into.addcmul_(gradient, kernels[:, :, None, tap])
        border = size // 2
        height, width = x.shape[2:]
        inner = for_grouped[..., border : border + height, border : border + width]
        return rearrange(inner, "b g m h w -> b (g m) h w"), for_kernels


def padded_groups(
    x: Float[Tensor, "b c h w"], kernels: Float[Tensor, "b g t h w"]
) -> tuple[Float[Tensor, "b g m hp wp"], int]:
    """`x` with zero borders, by groups that share a kernel, and the side of the kernels."""
    size = round(kernels.shape[2] ** 0.5)
    padded = F.pad(x, (size // 2,) * 4)
    return rearrange(padded, "b (g m) h w -> b g m h w", g=kernels.shape[1]), size


def windows_of(grouped: Float[Tensor, "b g m hp wp"], *, size: int) -> Iterator[Tensor]:
    """Views of the map as each of size x size taps sees it, row by row."""
    height, width = (side - size + 1 for side in grouped.shape[-2:])
    for tap in range(size * size):
        row, column = divmod(tap, size)
        yield grouped[..., row : row + height, column : column + width]


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
        self.out = pointwise_conv(width, dim)
        nn.init.zeros_(self.kernel.weight)
        nn.init.zeros_(self.kernel.bias)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]
        self.groups = groups

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Give `x` plus what its own kernels make of it."""
        height = x.shape[2]
        values = planes(self.value, rearrange(x, "b c h w -> b c (h w)"))
        kernels = planes(self.kernel, values)
        kernels = rearrange(kernels, "b (g t) (h w) -> b g t h w", g=self.groups, h=height)
        filtered = apply_filters(rearrange(values, "b c (h w) -> b c h w", h=height), kernels)
        return self.out(filtered.contiguous(memory_format=torch.channels_last)).add_(x)


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
