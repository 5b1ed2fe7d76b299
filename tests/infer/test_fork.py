"""Children that are forked after their parent has restored: they go on or say what to do, and never hang."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import multiprocessing, sys
import numpy as np
import hfmoe
from hfmoe.image.files import Picture, write_picture
from hfmoe.runtime.fork import ForkError

folder = sys.argv[1]
image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
restorer = hfmoe.load("nano-x2", device="cpu")
expected = hfmoe.restore(image, restorer)
write_picture(f"{folder}/a.png", Picture(image.transpose(2, 0, 1).astype(np.float32) / 255))


def from_array(answers):
    answers.put(str(np.array_equal(hfmoe.restore(image, restorer), expected)))


def from_path(answers):
    try:
        hfmoe.restore(f"{folder}/a.png", restorer)
    except ForkError as error:
        answers.put(str(error))


for child in (from_array, from_path):
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    process = context.Process(target=child, args=(answers,), daemon=True)
    process.start()
    print(answers.get(timeout=100))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_restores_arrays_and_is_told_that_it_cannot_read_files(tmp_path: Path):
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, str(tmp_path)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=200,
    )
    lines = run.stdout.splitlines()
    assert lines[0] == "True", run.stderr
    assert "forked after its parent had used libvips" in lines[1]
    assert "'spawn' or 'forkserver'" in lines[1]
