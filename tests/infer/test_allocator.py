import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource
from hfmoe.infer.allocator import reuse_memory
if {reuse}: assert reuse_memory()
import torch
def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3): torch.zeros(2**21).add(1)
before = faults()
for _ in range(20): torch.zeros(2**21).add(1)
print(faults() - before)
"""


def faults(*, reuse: bool) -> int:
    run = [sys.executable, "-c", PROGRAM.format(reuse=reuse)]
    return int(subprocess.run(run, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_reused_memory_is_faulted_in_less_often():
    assert faults(reuse=True) < 0.8 * faults(reuse=False)
