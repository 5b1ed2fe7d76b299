"""Operations tuned for CPUs behind plain names, and their plain form where a graph is exported.

Training and inference on CPUs are bound by passes over memory and by how torch picks its kernels; each
function says what it saves. Elsewhere they compute the same. While a graph is exported (`exporting`), they
are written in ordinary out-of-place operations, which ONNX, OpenVINO and `torch.export` take. A part that
needs another form in a graph asks `exporting` too: there is no second network for export.
"""

from collections.abc import Iterator
from typing import Any, cast

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

DILATION = 2
"""Of a 1x1 kernel a dilation changes nothing, but with one torch takes oneDNN on a single thread too, which
is two to three times as fast there as the matrix product that it takes otherwise."""


def exporting() -> bool:
    """Return whether the forward pass is being traced for an exported file."""
    return torch.compiler.is_exporting()


class PointwiseConv(nn.Conv2d):
    """1x1 convolution by oneDNN (see DILATION)."""

    def __init__(self, dim: int, out: int, *, bias: bool = True, **factory: Any) -> None:
        super().__init__(dim, out, 1, bias=bias, **factory)

    def forward(self, input: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o h w"]:
        """Convolve."""
        dilation = 1 if exporting() else DILATION
        return F.conv2d(input, self.weight, self.bias, dilation=dilation)


def pointwise(
    x: Float[Tensor, "b i h w"], weight: Float[Tensor, "o i 1 1"], bias: Float[Tensor, " o"] | None = None
) -> Float[Tensor, "b o h w"]:
    """1x1 convolution by a given kernel, in the type of x."""
    dilation = 1 if exporting() else DILATION
    return F.conv2d(x, weight.to(x.dtype), None if bias is None else bias.to(x.dtype), dilation=dilation)


def add_pointwise_(
    x: Float[Tensor, "b o h w"], y: Float[Tensor, "b i h w"], weight: Float[Tensor, "o i 1 1"]
) -> Float[Tensor, "b o h w"]:
    """x + 1x1 convolution of y, in the type of x; x is overwritten, so it must be the caller's own."""
    return add_(x, pointwise(y.to(x.dtype), weight))


def add_(x: Float[Tensor, "*n"], y: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """x + y, written into x, which must be the caller's own: fresh memory costs more time than the sum."""
    return x + y if exporting() else x.add_(y)


def add_to_view_(x: Float[Tensor, "b c h w"], y: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """`add_` for an x that is a view, such as a shuffled map: out of place where a gradient is recorded,
    since the gradient of a view after a sum in place costs three copies."""
    return x + y if torch.is_grad_enabled() else add_(x, y)


def gate(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
    """Product of both halves of the channels (SimpleGate, NAFNet, arXiv 2204.04676)."""
    if torch.is_grad_enabled() and x.requires_grad and not torch.compiler.is_compiling():
        return cast(Tensor, HalvesProduct.apply(x))
    a, b = x.chunk(2, 1)
    return a * b


class HalvesProduct(torch.autograd.Function):
    """`gate` whose gradient is written where it belongs instead of being joined: a pass over memory less."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Multiply, and keep the halves as they lie."""
        ctx.save_for_backward(x)
        a, b = x.chunk(2, 1)
        return a * b

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Gradient of x: each half's is the other half times the gradient."""
        (x,) = ctx.saved_tensors
        (a, b), found = x.chunk(2, 1), torch.empty_like(x)
        for_a, for_b = found.chunk(2, 1)
        torch.mul(gradient, b, out=for_a)
        torch.mul(gradient, a, out=for_b)
        return found


def rms_normalise(x: Float[Tensor, "b c h w"], *, eps: float) -> Float[Tensor, "b c h w"]:
    """x / sqrt(mean over channels of x^2 + eps) at each pixel; the mean is taken in float32."""
    if exporting():
        return x * torch.rsqrt((x * x).mean(1, keepdim=True) + eps)
    tokens = rearrange(x, "b c h w -> b h w c")
    return rearrange(cast(Tensor, RootMeanSquare.apply(tokens, eps)), "b h w c -> b c h w")


class RootMeanSquare(torch.autograd.Function):
    """x / sqrt(mean x^2 + eps) over the last dimension, with a backward pass of three passes over x.

    With y the result and g its gradient: (g - y mean(g y)) / sqrt(mean x^2 + eps).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> Tensor:
        """Normalise, and keep the result and the factor."""
        kind = torch.promote_types(x.dtype, torch.float32)
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=kind)
        inverse = norm.square_().div_(x.shape[-1]).add_(eps).rsqrt_().to(x.dtype)
        result = x * inverse
        ctx.save_for_backward(result, inverse)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Gradient of x."""
        result, inverse = ctx.saved_tensors
        along = (gradient * result).mean(-1, keepdim=True)
        return torch.addcmul(gradient, result, along, value=-1).mul_(inverse), None


def linear_maps(layer: nn.Linear, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o h w"]:
    """A linear layer at each pixel of channels-first maps: with few channels several times as fast on a CPU
    as one of rows."""
    if exporting():
        return F.conv2d(x, layer.weight[:, :, None, None], layer.bias)
    weight = layer.weight.expand(x.shape[0], -1, -1)
    out = torch.baddbmm(layer.bias[:, None], weight, rearrange(x, "b c h w -> b c (h w)"))
    return rearrange(out, "b c (h w) -> b c h w", h=x.shape[2])


def filter_pixels(
    x: Float[Tensor, "b c h w"], kernels: Float[Tensor, "b g t h w"]
) -> Float[Tensor, "b c h w"]:
    """Filter each pixel with its own k x k kernels (t = k^2, channel group g shares one), zero borders.

    Shifted multiply-adds: an im2col would hold t copies of `x`, and tripled a training step.
    """
    kernels = kernels.to(x.dtype)
    if exporting():
        return torch.cat([_taps_summed(*part) for part in _by_group(x, kernels)], 1)
    if torch.is_grad_enabled() and (x.requires_grad or kernels.requires_grad):
        return cast(Tensor, ShiftedProducts.apply(x, kernels))
    return shifted_products(x, kernels)


def _by_group(x: Tensor, kernels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    groups = kernels.shape[1]
    return zip(x.chunk(groups, 1), (part.squeeze(1) for part in kernels.split(1, 1)), strict=True)


def _taps_summed(x: Float[Tensor, "b m h w"], kernels: Float[Tensor, "b t h w"]) -> Tensor:
    height, width = x.shape[2:]
    size = round(kernels.shape[1] ** 0.5)
    padded = F.pad(x, (size // 2,) * 4)
    total: Tensor | None = None
    for tap, kernel in enumerate(kernels.split(1, 1)):
        row, column = divmod(tap, size)
        term = padded[:, :, row : row + height, column : column + width] * kernel
        total = term if total is None else total + term
    assert total is not None
    return total


def shifted_products(
    x: Float[Tensor, "b c h w"], kernels: Float[Tensor, "b g t h w"]
) -> Float[Tensor, "b c h w"]:
    """The sum over taps of `x` moved by the tap times that tap's kernel value at each pixel."""
    grouped, size = _padded_groups(x, kernels)
    out = torch.zeros_like(x)
    target = rearrange(out, "b (g m) h w -> b g m h w", g=kernels.shape[1])
    for tap, window in enumerate(_windows_of(grouped, size=size)):
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
        grouped, size = _padded_groups(x, kernels)
        gradient = rearrange(gradient, "b (g m) h w -> b g m h w", g=kernels.shape[1]).contiguous()
        for_kernels, for_grouped = torch.empty_like(kernels), torch.zeros_like(grouped)
        pairs = zip(_windows_of(grouped, size=size), _windows_of(for_grouped, size=size), strict=True)
        for tap, (window, into) in enumerate(pairs):
            torch.sum(window * gradient, 2, out=for_kernels[:, :, tap])
            into.addcmul_(gradient, kernels[:, :, None, tap])
        border = size // 2
        height, width = x.shape[2:]
        inner = for_grouped[..., border : border + height, border : border + width]
        return rearrange(inner, "b g m h w -> b (g m) h w"), for_kernels


def _padded_groups(x: Tensor, kernels: Tensor) -> tuple[Float[Tensor, "b g m hp wp"], int]:
    """`x` with zero borders, by groups that share a kernel, and the side of the kernels."""
    size = round(kernels.shape[2] ** 0.5)
    padded = F.pad(x, (size // 2,) * 4)
    return rearrange(padded, "b (g m) h w -> b g m h w", g=kernels.shape[1]), size


def _windows_of(grouped: Float[Tensor, "b g m hp wp"], *, size: int) -> Iterator[Tensor]:
    """Views of the map as each of size x size taps sees it, row by row."""
    height, width = (side - size + 1 for side in grouped.shape[-2:])
    for tap in range(size * size):
        row, column = divmod(tap, size)
        yield grouped[..., row : row + height, column : column + width]


def dot_product_attention(
    query: Float[Tensor, "n h t d"],
    key: Float[Tensor, "n h s d"],
    value: Float[Tensor, "n h s d"],
    bias: Float[Tensor, "#n #h t s"] | None = None,
) -> Float[Tensor, "n h t d"]:
    """softmax(query key^T / sqrt(d) + bias) value (arXiv 1706.03762).

    torch's fused operation asks whether sizes are 1, which ties an exported graph to the sizes it was traced
    with, so while exporting the products are written out.
    """
    if not exporting():
        trains = torch.is_grad_enabled() and query.device.type == "cpu"
        if trains and bias is not None and bias.requires_grad:
            return batched_products(query, key, value, bias)
        return F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
    return (scores if bias is None else scores + bias).softmax(-1) @ value


def batched_products(
    query: Float[Tensor, "n h t d"],
    key: Float[Tensor, "n h s d"],
    value: Float[Tensor, "n h s d"],
    bias: Float[Tensor, "#n #h t s"],
) -> Float[Tensor, "n h t d"]:
    """The same for a bias that learns, on a CPU: scale and bias go into the product, whose passes they save.

    There torch has no fused operation with a gradient for the bias. No row may be all minus infinity.
    """
    windows, heads, _, dim = query.shape
    query, key, value = (rearrange(part, "n h t d -> (n h) t d") for part in (query, key, value))
    bias = rearrange(bias.expand(windows, heads, -1, -1), "n h t s -> (n h) t s")
    scores = torch.baddbmm(bias, query, key.mT, alpha=dim**-0.5)
    return rearrange(torch.bmm(scores.softmax(-1), value), "(n h) t d -> n h t d", h=heads)


def subpixels(weight: Float[Tensor, "s ..."], *, by: int) -> Float[Tensor, "s ..."]:
    """A kernel or bias whose outputs are ordered (row, column, channel), in the order that `shuffle` takes:
    as it is; in a graph (channel, row, column), since runtimes have a pixel shuffle of that order."""
    if not exporting() or by == 1:
        return weight
    return rearrange(weight, "(y x c) ... -> (c y x) ...", y=by, x=by)


def enlarge(x: Float[Tensor, "b i h w"], conv: PointwiseConv, *, by: int) -> Float[Tensor, "b c h2 w2"]:
    """Sub-pixels by a 1x1 convolution whose outputs are ordered (row, column, channel), shuffled."""
    assert conv.bias is not None
    weight, bias = (subpixels(part, by=by) for part in (conv.weight, conv.bias))
    return shuffle(pointwise(x, weight, bias), by=by)


def shuffle(x: Float[Tensor, "b s h w"], *, by: int) -> Float[Tensor, "b c h2 w2"]:
    """Pixel shuffle of channels that `subpixels` ordered, from and to channels-last memory.

    Each row of sub-pixels is then one run, which copies more than twice as fast as the order of
    `torch.nn.PixelShuffle`, and so does the gradient: it is cut in channels-last order too, in one copy.
    Lineage: ESPCN, arXiv 1609.05158.
    """
    if by == 1:
        return x
    if exporting():
        return F.pixel_shuffle(x, by)
    pixels = rearrange(x, "b s h w -> b h w s")
    rows = rearrange(pixels, "b h w (i j c) -> b (h i) (w j) c", i=by, j=by)
    return rearrange(rows, "b h w c -> b c h w")
