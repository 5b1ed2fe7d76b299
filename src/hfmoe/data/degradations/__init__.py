"""Degradations: frozen operations, and tasks that draw them from a generator."""

from hfmoe.data.degradations.bsrgan import BSRGAN, Shuffled
from hfmoe.data.degradations.operations import OPERATIONS, AnyTask, apply, as_data, from_data
from hfmoe.data.degradations.real_esrgan import REAL_ESRGAN, OneRound, TwoRounds
from hfmoe.data.degradations.task import Operation, SuperResolutionTask, Task

__all__ = [
    "BSRGAN",
    "OPERATIONS",
    "REAL_ESRGAN",
    "AnyTask",
    "OneRound",
    "Operation",
    "Shuffled",
    "SuperResolutionTask",
    "Task",
    "TwoRounds",
    "apply",
    "as_data",
    "from_data",
]
