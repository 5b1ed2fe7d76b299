"""What training minimises: pure functions of (restored, target)."""

from hfmoe.losses.pixel import charbonnier, l1, mse
from hfmoe.losses.spectrum import fft_l1

__all__ = ["charbonnier", "fft_l1", "l1", "mse"]
