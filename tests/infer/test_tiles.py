"""Tiles: where they lie, how they blend, and that they change nothing."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from hfmoe.infer.tiled import restore_tensor
from hfmoe.infer.tiles import TileGeometry, blend_weights, cut


@given(
    length=st.integers(1, 700),
    steps=st.integers(1, 6),
    halo=st.integers(0, 20),
    overlap=st.integers(0, 20),
    multiple=st.sampled_from([1, 2, 16, 32]),
    scale=st.integers(1, 4),
)
@settings(deadline=None, max_examples=200)
def test_weights_are_a_partition_of_unity_and_tiles_lie_on_the_grid(
    length: int, steps: int, halo: int, overlap: int, multiple: int, scale: int
):
    margin = 2 * halo + overlap
    tile = (-(-margin // multiple) + steps) * multiple
    spans = cut(length, tile=tile, margin=margin, multiple=multiple)
    assert spans[0].start == 0
    assert spans[-1].stop == length
    assert all(span.start % multiple == 0 and 0 < span.stop - span.start <= tile for span in spans)
    total = torch.zeros(length * scale)
    for span, weight in zip(spans, blend_weights(spans, halo=halo, scale=scale), strict=True):
        assert weight.min() >= 0
        total[span.start * scale : span.stop * scale] += torch.from_numpy(weight)
    torch.testing.assert_close(total, torch.ones_like(total))


def test_nothing_is_taken_from_a_halo():
    spans = cut(200, tile=64, margin=40, multiple=8)
    weights = blend_weights(spans, halo=16, scale=2)
    for index, weight in enumerate(weights):
        assert index == 0 or not weight[:32].any()
        assert index == len(weights) - 1 or not weight[-32:].any()


@given(height=st.integers(1, 90), width=st.integers(1, 90), scale=st.integers(1, 3))
@settings(deadline=None, max_examples=30)
def test_tiling_equals_running_whole_when_the_halo_covers_the_receptive_field(
    height: int, width: int, scale: int
):
    kernel = torch.rand(3, 3, 5, 5, generator=torch.Generator().manual_seed(1))

    def network(image):
        return F.interpolate(F.conv2d(image, kernel, padding=2), scale_factor=scale)

    image = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(2))
    tiled = restore_tensor(network, image, TileGeometry(scale, 8, halo=2, overlap=4), tile=24)
    torch.testing.assert_close(tiled, network(image), rtol=1e-5, atol=1e-5)


def test_without_a_halo_the_borders_of_tiles_would_show():
    kernel = torch.ones(1, 1, 5, 5)
    image = torch.rand(1, 1, 64, 64)

    def network(part):
        return F.conv2d(part, kernel, padding=2)

    tiled = restore_tensor(network, image, TileGeometry(1, 8, halo=0, overlap=4), tile=24)
    assert (tiled - network(image)).abs().max() > 0.1


def test_progress_counts_every_tile():
    seen = []
    restore_tensor(
        lambda part: part,
        torch.rand(1, 1, 40, 20),
        TileGeometry(1, 4, halo=0, overlap=4),
        tile=16,
        on_tile=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(done, len(seen)) for done in range(1, len(seen) + 1)]
    assert len(seen) == 6


def test_errors_name_the_value_and_the_rule():
    with pytest.raises(ValueError, match="tile 30 must be a multiple of 8"):
        cut(100, tile=30, margin=4, multiple=8)
    with pytest.raises(ValueError, match="tile 16 must be at least 28: 20 pixels are shared"):
        cut(100, tile=16, margin=20, multiple=8)
    with pytest.raises(ValueError, match=r"the network made \(1, 1, 8, 8\) where \(1, 1, 16, 16\) was due"):
        restore_tensor(
            lambda part: part, torch.rand(1, 1, 8, 8), TileGeometry(2, 8, halo=0, overlap=0), tile=None
        )
