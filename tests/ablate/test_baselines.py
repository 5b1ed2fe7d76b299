"""The parts of the baselines, and the paths that studies name them by."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hfmoe.ablate.baselines import PlainNetwork, SpacedDepthwise
from hfmoe.models.external import find_class


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(1, 17),
    width=st.integers(1, 17),
    spacing=st.integers(1, 4),
    size=st.sampled_from([3, 5]),
)
def test_a_spaced_convolution_is_the_dilated_one(height: int, width: int, spacing: int, size: int) -> None:
    spaced = SpacedDepthwise(3, size, spacing=spacing).double()
    dilated = nn.Conv2d(3, 3, size, padding=spacing * (size // 2), dilation=spacing, groups=3).double()
    dilated.load_state_dict(spaced.conv.state_dict())
    image = torch.randn(2, 3, height, width, dtype=torch.float64)
    torch.testing.assert_close(spaced(image), dilated(image))


def test_studies_may_name_them_by_the_path_of_before():
    assert find_class("hfmoe.ablate.peers:PlainNetwork") is PlainNetwork
