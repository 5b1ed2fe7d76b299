"""What is said of memory."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hfmoe
from hfmoe.infer.resident import peak_mib

COMMAND = "from hfmoe.infer.resident import peak_mib; print(peak_mib())"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tell them apart")
def test_the_peak_of_a_process_is_not_that_of_the_one_that_started_it():
    large = np.ones(2**27)  # 1 GiB
    environment = {**os.environ, "PYTHONPATH": str(Path(hfmoe.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", COMMAND], env=environment, capture_output=True, text=True, check=True
    )
    assert 5 < float(done.stdout) < 1000 < peak_mib()
    assert large[-1] == 1
