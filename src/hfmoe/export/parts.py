"""Parts of the network as runtimes like them: channels first, convolutions throughout, nothing in place.

Each gives the output of the part it is made from. Runtimes fuse what follows a convolution into it and keep
their own blocked layouts between convolutions, which a transpose to tokens and back would break.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from hfmoe.nn.dynamic_filter import DynamicFilter
from hfmoe.nn.frequency import TAPS, Bands, FrequencySplit, upsample
from hfmoe.nn.fusion import Fusion
from hfmoe.nn.normalisation import ChannelLayerNorm, PixelRMSNorm
from hfmoe.nn.texture import ConvGate, TextureBlock
from hfmoe.nn.upsampler import Upsampler


class PlainRMSNorm(nn.Module):
    """`PixelRMSNorm` in ordinary operations."""

    def __init__(self, norm: PixelRMSNorm) -> None:
        super().__init__()
        self.eps = norm.eps

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Normalise each pixel."""
        return x * torch.rsqrt((x * x).mean(1, keepdim=True) + self.eps)


class PlainLayerNorm(nn.Module):
    """`ChannelLayerNorm` along the channels of a map, without moving them last."""

    def __init__(self, norm: ChannelLayerNorm) -> None:
        super().__init__()
        self.weight = fixed(norm.weight[:, None, None])
        self.bias = fixed(norm.bias[:, None, None])
        self.eps = norm.eps

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Normalise each pixel."""
        centred = x - x.mean(1, keepdim=True)
        deviation = torch.rsqrt((centred * centred).mean(1, keepdim=True) + self.eps)
        return centred * deviation * self.weight + self.bias


class PlainTexture(nn.Module):
    """`TextureBlock` with the convolution before its gate cut into the two halves that are multiplied."""

    def __init__(self, block: TextureBlock) -> None:
        super().__init__()
        norm, *convs, gate = block.body
        if not isinstance(gate, ConvGate):
            raise TypeError(f"{type(gate).__name__} must be the gate of a texture block")
        self.norm = plain_norm(norm)
        self.before = nn.Sequential(*convs[:-1])
        self.left, self.right = halves(convs[-1])  # pyright: ignore[reportArgumentType]
        self.dense = convs[-1].groups == 1
        self.out = block.out

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Add local detail to `x`."""
        wide = self.before(self.norm(x))
        a, b = (wide, wide) if self.dense else wide.chunk(2, 1)
        return x + self.out(self.left(a) * self.right(b))


class PlainSplit(nn.Module):
    """`FrequencySplit` with its kernel fixed."""

    def __init__(self, split: FrequencySplit) -> None:
        super().__init__()
        self.kernel = fixed(split.logits.softmax(-1).view(-1, 1, TAPS, TAPS))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Bands:
        """Split a map of even height and width."""
        padded = F.pad(x, (1, 1, 1, 1), mode="reflect")
        low = F.conv2d(padded, self.kernel, stride=2, groups=x.shape[1])
        detail = x - upsample(low)
        return Bands(low, detail, detail)


class PlainFilter(nn.Module):
    """`DynamicFilter` with 1x1 convolutions for its linear layers."""

    def __init__(self, source: DynamicFilter) -> None:
        super().__init__()
        self.value, self.kernel = pointwise(source.value), pointwise(source.kernel)
        self.out = source.out
        self.groups = source.groups

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Give `x` plus what its own kernels make of it."""
        values = self.value(x)
        size = round((self.kernel.out_channels // self.groups) ** 0.5)
        height, width = x.shape[2:]
        padded = F.pad(values, (size // 2,) * 4)
        shared = values.shape[1] // self.groups
        kernels = self.kernel(values)
        filtered = [
            sum_of_taps(part, own, size=size, height=height, width=width)
            for part, own in zip(padded.split(shared, 1), kernels.split(size * size, 1), strict=True)
        ]
        return x + self.out(torch.cat(filtered, 1))


def sum_of_taps(
    padded: Float[Tensor, "b m hp wp"],
    kernels: Float[Tensor, "b t h w"],
    *,
    size: int,
    height: int,
    width: int,
) -> Float[Tensor, "b m h w"]:
    """Channels that share their kernels, filtered: the sum over taps of the moved map times its kernel."""
    terms = (
        padded[:, :, row : row + height, column : column + width] * kernel
        for (row, column), kernel in zip(
            ((row, column) for row in range(size) for column in range(size)),
            kernels.split(1, 1),
            strict=True,
        )
    )
    total = next(terms)
    for term in terms:
        total = total + term
    return total


class PlainFusion(nn.Module):
    """`Fusion` with a runtime's own pixel shuffle."""

    def __init__(self, fusion: Fusion) -> None:
        super().__init__()
        self.cross = fusion.cross
        self.from_low = shuffled(fusion.from_low.weight, fusion.from_low.bias, by=2)
        self.from_high = fusion.from_high

    def forward(
        self, low: Float[Tensor, "b l h w"], high: Float[Tensor, "b c h2 w2"]
    ) -> Float[Tensor, "b c h2 w2"]:
        """Join the bands at full resolution."""
        known = low if self.cross is None else torch.cat((low, *self.cross(low, high)), 1)
        return self.from_high(high) + F.pixel_shuffle(self.from_low(known), 2)


class PlainUpsampler(nn.Module):
    """`Upsampler` with a runtime's own pixel shuffle."""

    def __init__(self, upsampler: Upsampler) -> None:
        super().__init__()
        project, base = upsampler.project, upsampler.base
        self.scale, self.folding = upsampler.scale, upsampler.folding
        by = self.folding if self.folding > 1 else self.scale
        self.project = shuffled(project.weight, project.bias, by=by)
        self.base = None if base is None else shuffled(base.kernel, None, by=self.scale)

    def forward(
        self, features: Float[Tensor, "b d hf wf"], image: Float[Tensor, "b c h w"]
    ) -> Float[Tensor, "b c h2 w2"]:
        """Give the restored image: corrections of `features` over the enlarged `image`."""
        corrections = self.project(features)
        if self.folding > 1:
            corrections = F.pixel_shuffle(corrections, self.folding)
        if self.base is None:
            return image + corrections
        base = self.base(F.pad(image, (1, 1, 1, 1), mode="replicate"))
        return F.pixel_shuffle(base + corrections, self.scale)


def plain_norm(norm: nn.Module) -> nn.Module:
    """The plain form of a norm over maps."""
    if isinstance(norm, PixelRMSNorm):
        return PlainRMSNorm(norm)
    return PlainLayerNorm(norm) if isinstance(norm, ChannelLayerNorm) else norm


def pointwise(layer: nn.Linear) -> nn.Conv2d:
    """A linear layer of tokens as a 1x1 convolution of maps."""
    return convolution(layer.weight[:, :, None, None], layer.bias)


def halves(conv: nn.Conv2d) -> tuple[nn.Conv2d, nn.Conv2d]:
    """Two convolutions that give the first and the second half of this one's channels.

    A dense one's halves both take its whole input, a depthwise one's the half of it that is theirs.
    """
    half = conv.out_channels // 2
    cuts = (slice(None, half), slice(half, None))
    bias = conv.bias
    left, right = (
        convolution(
            conv.weight[cut],
            None if bias is None else bias[cut],
            padding=conv.padding[0],  # pyright: ignore[reportArgumentType]
            depthwise=conv.groups > 1,
        )
        for cut in cuts
    )
    return left, right


def shuffled(weight: Float[Tensor, "s i k k"], bias: Float[Tensor, " s"] | None, *, by: int) -> nn.Conv2d:
    """A convolution to channels ordered (row, column, channel), reordered for `F.pixel_shuffle`."""
    weight = rearrange(weight, "(y x c) i j k -> (c y x) i j k", y=by, x=by)
    return convolution(weight, None if bias is None else rearrange(bias, "(y x c) -> (c y x)", y=by, x=by))


def convolution(
    weight: Float[Tensor, "o i k l"], bias: Tensor | None, *, padding: int = 0, depthwise: bool = False
) -> nn.Conv2d:
    """An ordinary convolution that does not train, with copies of this kernel and bias."""
    out, dim = weight.shape[:2]
    groups = out if depthwise else 1
    size = (weight.shape[2], weight.shape[3])
    conv = nn.Conv2d(dim * groups, out, size, padding=padding, groups=groups, bias=bias is not None)
    conv.weight = fixed(weight)
    conv.bias = None if bias is None else fixed(bias)
    return conv


def fixed(tensor: Tensor) -> nn.Parameter:
    """A copy in plain memory that does not train."""
    return nn.Parameter(tensor.detach().clone(memory_format=torch.contiguous_format), requires_grad=False)
