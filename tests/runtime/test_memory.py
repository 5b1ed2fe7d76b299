"""Resident and peak memory, and memory that is reused."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hfmoe
from hfmoe.runtime.memory import peak_mib

PROGRAM = """
import resource
from hfmoe.runtime.memory import reuse_memory
if {reuse}: assert reuse_memory()
import torch
def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
before = faults()
for _ in range(4): torch.zeros(2**24).add(1)
print(faults() - before)
"""

COMMAND = "from hfmoe.runtime.memory import peak_mib; print(peak_mib())"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tell them apart")
def test_the_peak_of_a_process_is_not_that_of_the_one_that_started_it():
    large = np.ones(2**27)  # 1 GiB
    environment = {**os.environ, "PYTHONPATH": str(Path(hfmoe.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", COMMAND], env=environment, capture_output=True, text=True, check=True
    )
    assert 5 < float(done.stdout) < 1000 < peak_mib()
    assert large[-1] == 1


SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")
HUGE_PAGES_OF_LINUX = SETTING.read_text() if SETTING.exists() else "[never]"


def faults(*, reuse: bool) -> int:
    run = [sys.executable, "-c", PROGRAM.format(reuse=reuse)]
    return int(subprocess.run(run, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif("[never]" in HUGE_PAGES_OF_LINUX, reason="the system gives no huge pages")
def test_large_maps_are_faulted_in_less_often():
    assert faults(reuse=True) < 0.2 * faults(reuse=False)
