"""What writing costs, and the levels it stores."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from hfmoe.image.files import Picture
from hfmoe.image.writing import stored_samples

MEASURE = """
import resource, torch
from hfmoe.image.files import Picture
from hfmoe.image.writing import stored_samples
picture = Picture(colour=torch.rand(3, 6000, 2000), bits=16)
stored_samples(Picture(colour=picture.colour[:, :100], bits=16), bits=16)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
stored_samples(picture, bits=16)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / picture.colour.numel())
"""


@pytest.mark.parametrize(("bits", "alpha"), [(8, False), (16, True), (12, False)])
def test_every_sample_is_stored_as_its_nearest_level_in_the_high_bits(bits, alpha):
    height = 150
    colour = torch.rand(3, height, 5)
    picture = Picture(colour, torch.rand(1, height, 5) if alpha else None, 16)
    samples = stored_samples(picture, bits=bits)
    bands = colour if picture.alpha is None else torch.cat((colour, picture.alpha))
    levels = (bands.double() * (2**bits - 1) + 0.5).floor().numpy().transpose(1, 2, 0)
    assert np.array_equal(samples >> (16 - bits if bits > 8 else 0), levels)


@pytest.mark.skipif(sys.platform == "win32", reason="resource is a Unix module")
def test_a_large_picture_is_rounded_in_three_bytes_a_sample():
    result = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True)
    assert float(result.stdout) < 3
