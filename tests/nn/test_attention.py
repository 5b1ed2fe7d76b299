import pytest
import torch
import torch.nn.functional as F
from einops import rearrange

from hfmoe.nn.attention import WindowAttention
from hfmoe.nn.cpu_ops import batched_products, dot_product_attention
from hfmoe.nn.deformable import DeformableGrid, sample
from hfmoe.nn.windows import edge_kinds, merge, partition, shift, shift_mask, wrapped_sides

WINDOW = 4


def attention(**options) -> WindowAttention:
    torch.manual_seed(0)
    layer = WindowAttention(8, heads=2, window=WINDOW, **options)
    torch.nn.init.normal_(layer.bias.table, std=0.5)
    return layer


def reach_of(layer: WindowAttention, row: int, column: int, size: int = 12) -> torch.Tensor:
    """Which input positions the output at (row, column) depends on."""
    x = torch.randn(1, size, size, 8, requires_grad=True)
    layer(x)[0, row, column].sum().backward()
    assert x.grad is not None
    return x.grad[0].abs().sum(-1) > 0


@pytest.mark.parametrize("windows", [1, 3])
def test_attention_with_a_bias_that_learns_has_the_output_and_gradients_of_torchs(windows):
    generator = torch.Generator().manual_seed(0)
    shapes = (3, 2, 5, 4), (3, 2, 6, 4), (3, 2, 6, 4), (windows, 2, 5, 6)
    parts = [
        torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_() for shape in shapes
    ]
    query, key, value, bias = parts
    masked = bias.masked_fill(torch.rand(5, 6, generator=generator) < 0.3, float("-inf"))
    found = dot_product_attention(query, key, value, masked)
    expected = F.scaled_dot_product_attention(query, key, value, attn_mask=masked)
    assert torch.allclose(found, expected, rtol=1e-12)
    weight = torch.randn(found.shape, generator=generator, dtype=torch.float64)
    gradients = (
        torch.autograd.grad((out * weight).sum(), parts, retain_graph=True) for out in (found, expected)
    )
    for ours, theirs in zip(*gradients, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-10, atol=1e-12)
    assert torch.autograd.gradcheck(batched_products, parts)


def test_partition_and_merge_are_inverse():
    x = torch.randn(2, 8, 12, 3)
    assert torch.equal(merge(partition(x, window=WINDOW), window=WINDOW, height=8, width=12), x)


def test_a_position_sees_its_own_window_and_no_other():
    seen = reach_of(attention(shifted=False), 5, 6)
    expected = torch.zeros(12, 12, dtype=torch.bool)
    expected[4:8, 4:8] = True
    assert torch.equal(seen, expected)


def test_a_shifted_window_straddles_the_plain_ones():
    seen = reach_of(attention(shifted=True), 5, 6)
    expected = torch.zeros(12, 12, dtype=torch.bool)
    expected[2:6, 6:10] = True
    assert torch.equal(seen, expected)


@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 11), (11, 0), (11, 11)])
def test_shifted_windows_do_not_wrap_around_the_borders(row, column):
    seen = reach_of(attention(shifted=True), row, column)
    rows, columns = seen.nonzero().unbind(1)
    assert (rows - row).abs().max() < WINDOW and (columns - column).abs().max() < WINDOW


def test_the_shift_mask_pairs_only_tokens_that_were_neighbours():
    height, width = 8, 12
    place = torch.stack(torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij"), -1)
    rolled = partition(shift(place[None].float(), by=2), window=WINDOW)
    distance = (rolled[:, :, None] - rolled[:, None]).abs().amax(-1)
    cpu = torch.device("cpu")
    kinds = edge_kinds(height // WINDOW, width // WINDOW, device=cpu)
    mask = shift_mask(wrapped_sides(window=WINDOW, by=2, device=cpu))[kinds]
    assert torch.equal(mask, distance < WINDOW)


def test_attention_equals_softmax_written_out():
    layer = attention(shifted=False)
    x = torch.randn(1, WINDOW, WINDOW, 8)
    tokens = rearrange(x, "1 h w c -> (h w) c")
    heads = "t (h d) -> h t d"
    query = rearrange(layer.query(tokens), heads, h=2)
    key, value = (rearrange(part, heads, h=2) for part in layer.keyvalue(tokens).chunk(2, -1))
    weights = (query @ key.mT / 4**0.5 + layer.bias()).softmax(-1)
    expected = layer.out(rearrange(weights @ value, "h t d -> t (h d)"))
    torch.testing.assert_close(rearrange(layer(x), "1 h w c -> (h w) c"), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shifted", [False, True])
def test_zero_offsets_equal_plain_windows_bit_for_bit(shifted):
    deformed, plain = attention(shifted=shifted, reach=3.0), attention(shifted=shifted)
    plain.load_state_dict(deformed.state_dict(), strict=False)
    x = torch.randn(1, 8, 12, 8)
    assert torch.equal(deformed(x), plain(x))


def test_sampling_at_whole_offsets_moves_the_map_and_clamps_at_its_border():
    x = torch.arange(20.0).view(1, 4, 5, 1)
    offsets = torch.zeros(1, 4, 5, 2)
    offsets[..., 1] = 1.0
    moved = sample(x, offsets)
    assert torch.equal(moved[:, :, :-1], x[:, :, 1:]) and torch.equal(moved[:, :, -1], x[:, :, -1])


def test_sampling_between_points_interpolates_linearly():
    x = torch.arange(20.0).view(1, 4, 5, 1)
    halfway = sample(x, torch.full((1, 4, 5, 2), 0.5))
    torch.testing.assert_close(halfway[0, 0, 0, 0], torch.tensor(3.0))


def test_offsets_stay_within_their_reach():
    grid = DeformableGrid(2, reach=1.0)
    torch.nn.init.constant_(grid.offset.bias, 100.0)
    x = torch.arange(36.0).view(1, 6, 6, 1).repeat(1, 1, 1, 2)
    torch.testing.assert_close(grid(x)[0, 2, 2, 0], x[0, 3, 3, 0])


def test_a_global_token_carries_far_windows_and_leaves_far_groups_out_of_reach_without_it():
    with_token = reach_of(attention(shifted=False, group=2), 0, 0, size=24)
    without = reach_of(attention(shifted=False), 0, 0, size=24)
    assert with_token.all() and without.sum() == WINDOW**2


def test_a_token_does_not_reach_the_opposite_border_through_a_shifted_window():
    layer = attention(shifted=True, group=1)
    assert layer.tokens is not None
    x = torch.randn(1, 12, 12, 8)
    plain = layer(x)
    layer.tokens.register_forward_hook(lambda *call: call[-1] + torch.arange(9.0)[:, None, None].ge(6))
    changed = (layer(x) - plain).abs().amax((0, -1)) > 1e-6
    assert not changed[:10].any() and changed[10:].any()


def test_tokens_accept_a_number_of_windows_that_groups_do_not_divide():
    assert attention(shifted=True, group=2)(torch.randn(2, 12, 20, 8)).shape == (2, 12, 20, 8)
