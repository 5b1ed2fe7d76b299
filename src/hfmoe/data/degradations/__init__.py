"""Degradations: frozen operations that are drawn from a generator and applied to an image."""

from hfmoe.data.degradations.operations import OPERATIONS, Operation, apply, as_data, from_data
from hfmoe.data.degradations.shuffled import BSRGAN, Shuffled
from hfmoe.data.degradations.two_rounds import REAL_ESRGAN, OneRound, TwoRounds

__all__ = [
    "BSRGAN",
    "OPERATIONS",
    "REAL_ESRGAN",
    "OneRound",
    "Operation",
    "Shuffled",
    "TwoRounds",
    "apply",
    "as_data",
    "from_data",
]
