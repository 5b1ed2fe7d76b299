"""The canary: shapes in signatures are really checked in the test run."""

import pytest
import torch

from hfmoe.nn.frequency import upsample


def test_a_wrong_shape_is_refused_while_testing():
    with pytest.raises(Exception, match=r"(?i)type-check"):
        upsample(torch.zeros(3, 4))
