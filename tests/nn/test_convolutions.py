import pytest
import torch
import torch.nn.functional as F
from einops import rearrange

from hfmoe.nn.cpu_ops import HalvesProduct, filter_pixels, shuffle
from hfmoe.nn.dynamic_filter import DepthwiseFilter, DynamicFilter
from hfmoe.nn.fusion import CrossAttention, Fusion
from hfmoe.nn.repconv import RepConv
from hfmoe.nn.texture import ConvGate, TextureBlock


def test_repconv_equals_the_sum_of_its_branches():
    layer, x = RepConv(6, 6), torch.randn(2, 6, 7, 5)
    assert layer.identity is not None
    branches = layer.conv3(x) + layer.conv1(x) + layer.identity[:, None, None] * x
    torch.testing.assert_close(layer(x), branches, atol=1e-5, rtol=1e-5)


def test_collapsing_gives_the_branches_the_gradients_they_would_have_had():
    layer, x = RepConv(4, 4).double(), torch.randn(1, 4, 6, 6, dtype=torch.float64)
    assert layer.identity is not None
    collapsed = torch.autograd.grad(layer(x).square().sum(), list(layer.parameters()))
    summed = layer.conv3(x) + layer.conv1(x) + layer.identity[:, None, None] * x
    apart = torch.autograd.grad(summed.square().sum(), list(layer.parameters()))
    for one, other in zip(collapsed, apart, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("out", [6, 12])
def test_a_folded_repconv_is_an_ordinary_convolution_with_the_same_output(out):
    layer, x = RepConv(6, out), torch.randn(2, 6, 7, 5)
    folded = layer.fold()
    assert type(folded) is torch.nn.Conv2d
    torch.testing.assert_close(folded(x), layer(x), atol=1e-5, rtol=1e-5)


def test_dynamic_filtering_equals_im2col():
    x, kernels = torch.randn(2, 6, 5, 7), torch.randn(2, 3, 9, 5, 7)
    columns = F.unfold(x, 3, padding=1).view(2, 3, 2, 9, 5, 7)
    expected = (columns * kernels[:, :, None]).sum(3).view(2, 6, 5, 7)
    torch.testing.assert_close(filter_pixels(x, kernels), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("size", "width"), [(3, 5), (5, 1)])
def test_filters_have_the_gradients_of_their_sum(size, width):
    x = torch.randn(2, 4, 3, width, dtype=torch.float64, requires_grad=True)
    kernels = torch.randn(2, 2, size * size, 3, width, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(filter_pixels, (x, kernels))


@pytest.mark.parametrize(
    "layer", [DynamicFilter(8, width=4, groups=2, kernel=3), DepthwiseFilter(8, kernel=3)]
)
def test_a_fresh_filter_is_the_identity_and_can_learn(layer):
    x = torch.randn(1, 8, 6, 6)
    y = layer(x)
    assert torch.equal(y, x)
    y.square().sum().backward()
    gradients = [parameter.grad for parameter in layer.parameters()]
    assert any(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)


@pytest.mark.parametrize("kind", ["depthwise", "dense", "rep"])
def test_a_texture_block_looks_one_pixel_around(kind):
    block = TextureBlock(4, hidden=4, kind=kind, norm="layer", residual_scale=0.2)
    x = torch.randn(1, 4, 9, 9, requires_grad=True)
    block(x)[0, :, 4, 4].square().sum().backward()
    assert x.grad is not None
    rows, columns = x.grad[0].abs().sum(0).nonzero().unbind(1)
    assert rows.min() >= 3 and rows.max() <= 5 and columns.min() >= 3 and columns.max() <= 5


def test_a_shuffle_is_a_permutation_whose_gradient_comes_back_in_channels_last_memory():
    x = torch.randn(2, 12, 3, 5).contiguous(memory_format=torch.channels_last).requires_grad_()
    shuffled = shuffle(x, by=2)
    by_torch = F.pixel_shuffle(rearrange(x, "b (s c) h w -> b (c s) h w", c=3), 2)
    assert torch.equal(shuffled, by_torch)
    weight = torch.randn_like(shuffled)
    (ours,), (theirs,) = (torch.autograd.grad((out * weight).sum(), x) for out in (shuffled, by_torch))
    assert torch.equal(ours, theirs)
    assert ours.is_contiguous(memory_format=torch.channels_last)


def test_a_gate_has_the_gradients_of_the_product_of_its_halves():
    x = torch.randn(2, 6, 3, 4, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    x.requires_grad_()
    a, b = x.chunk(2, 1)
    assert torch.equal(ConvGate()(x), a * b)
    weight = torch.randn(2, 3, 3, 4, dtype=torch.float64)
    (ours,), (theirs,) = (torch.autograd.grad((out * weight).sum(), x) for out in (ConvGate()(x), a * b))
    assert torch.equal(ours, theirs)
    assert torch.autograd.gradcheck(HalvesProduct.apply, x)


def test_an_unknown_texture_is_named():
    with pytest.raises(ValueError, match="'spiral'"):
        TextureBlock(4, hidden=4, kind="spiral", norm="none", residual_scale=0.2)


def test_cross_attention_carries_each_band_into_the_other_inside_its_window():
    torch.manual_seed(0)
    cross = CrossAttention(6, 4, reduced=4, heads=1, window=4)
    low = torch.randn(1, 4, 8, 8, requires_grad=True)
    high = torch.randn(1, 6, 16, 16, requires_grad=True)
    for_low, for_high = cross(low, high)
    from_high = (
        torch.autograd.grad(for_low[0, :, 0, 0].sum(), high, retain_graph=True)[0].abs().sum((0, 1)) > 0
    )
    from_low = torch.autograd.grad(for_high[0, :, 7, 7].sum(), low)[0].abs().sum((0, 1)) > 0
    assert from_high[:8, :8].all() and not from_high[8:].any() and not from_high[:, 8:].any()
    assert from_low[4:, 4:].all() and not from_low[:4].any() and not from_low[:, :4].any()


def test_fusion_joins_both_bands_at_full_resolution():
    fusion = Fusion(6, 4, cross=CrossAttention(6, 4, reduced=4, heads=1, window=4))
    assert fusion(torch.randn(2, 4, 8, 8), torch.randn(2, 6, 16, 16)).shape == (2, 6, 16, 16)
