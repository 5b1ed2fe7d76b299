"""Every report says where it was made."""

import json

import torch

from hfmoe import __version__
from hfmoe.runtime.machine import machine


def test_the_machine_names_processor_threads_and_versions():
    here = machine(threads=3)
    assert (here.threads, here.torch, here.hfmoe) == (3, torch.__version__, __version__)
    assert here.processor
    assert here.cores >= 1
    assert json.loads(json.dumps(here.to_dict()))["date"] == here.date
    assert all(word in here.line() for word in (here.processor, "3 threads", here.torch, here.date))
    assert machine().threads == torch.get_num_threads()
