"""What is exported is the network itself: its parts' graph form gives what they give, for every variant."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from hfmoe.export.program import MIXTURES, make_program
from hfmoe.export.verify import drawn
from hfmoe.models.folding import fold
from hfmoe.models.network import HFMoE
from hfmoe.models.presets import ABLATIONS, PRESETS
from hfmoe.nn.cpu_ops import exporting
from hfmoe.nn.routing import effort_weight

VARIANTS = {name: replace(PRESETS["nano-x4"], **changes) for name, changes in ABLATIONS.items()}
VARIANTS |= {name: PRESETS[name] for name in ("nano-x1", "tiny-x3", "small-x1", "small-x4")}


@pytest.mark.parametrize("mixtures", MIXTURES)
@pytest.mark.parametrize("name", VARIANTS)
@torch.inference_mode()
def test_the_graph_form_of_every_variant_equals_the_network(
    name: str, mixtures: str, monkeypatch: pytest.MonkeyPatch
):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = HFMoE(VARIANTS[name]).eval()
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    image = drawn(2, network.config.channels, 37, 70)
    efforts = (0.0, 0.5, 1.0)
    expected = [network(image, effort=effort).image for effort in efforts]
    traced = fold(network, in_place=False)
    for mixture in traced.mixtures():
        mixture.sparse_graph = mixtures == "sparse"
    monkeypatch.setattr(torch.compiler, "_is_exporting_flag", True)
    assert exporting()
    for effort, whole in zip(efforts, expected, strict=True):
        found = traced(image, effort=torch.tensor(effort)).image
        torch.testing.assert_close(found, whole, rtol=0, atol=1e-4)


@pytest.mark.parametrize("effort", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_effort_means_the_same_as_a_tensor(effort: float):
    weight = effort_weight(torch.tensor(effort))
    assert isinstance(weight, Tensor)
    assert weight.item() == pytest.approx(effort_weight(effort), rel=1e-4, abs=1e-6)


FOREIGN = """
import sys
import numpy as np
import torch
from torch import nn
from hfmoe.export.program import ExportError, make_program
from hfmoe.export.verify import drawn
from hfmoe.models.weights import load_weights

class Wave(nn.Module):  # a block that the package does not know
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x):
        return x + self.conv(x).sin()

class Stubborn(nn.Module):  # one that leaves torch
    def forward(self, x):
        return torch.from_numpy(np.sin(x.numpy()))

network, image = load_weights(sys.argv[1]).network, drawn(1, 3, 20, 33)
network.texture.append(Wave())
with torch.no_grad():
    found = make_program(network, mixtures="all").module()(image, torch.tensor(0.5))
    print((found - network(image).image).abs().max().item())
network.texture.append(Stubborn())
try:
    make_program(network, mixtures="all")
except ExportError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_foreign_block_is_exported_with_the_rest_and_one_that_cannot_be_is_named(tiny_weights: Path):
    command = [sys.executable, "-c", FOREIGN, str(tiny_weights)]  # shape checks do not know symbols
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    difference, refusal = child.stdout.splitlines()
    assert float(difference) < 1e-5
    assert refusal.startswith("texture.2 (Stubborn) cannot be exported: ")


def test_an_unknown_way_of_mixtures_is_refused(tiny: HFMoE):
    with pytest.raises(ValueError, match="mixtures 'some' must be one of all, sparse"):
        make_program(tiny, mixtures="some")
