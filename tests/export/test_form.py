"""The form that is exported gives what the network gives, for every variant of it."""

from dataclasses import replace

import pytest
import torch

from hfmoe.export.form import ExportForm
from hfmoe.export.mixture import ROUTINGS, effort_bias
from hfmoe.export.verify import drawn
from hfmoe.models.network import HFMoE
from hfmoe.models.presets import ABLATIONS, PRESETS
from hfmoe.nn.routing import effort_weight

VARIANTS = {name: replace(PRESETS["nano-x4"], **changes) for name, changes in ABLATIONS.items()}
VARIANTS |= {name: PRESETS[name] for name in ("nano-x1", "tiny-x3", "small-x1", "small-x4")}


@pytest.mark.parametrize("routing", ROUTINGS)
@pytest.mark.parametrize("name", VARIANTS)
@torch.inference_mode()
def test_the_exported_form_equals_the_network(name: str, routing: str):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = HFMoE(VARIANTS[name]).eval()
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    form = ExportForm(network, routing=routing)
    image = drawn(2, network.config.channels, 37, 70)
    for effort in (0.0, 0.5, 1.0):
        expected = network(image, effort=effort).image
        torch.testing.assert_close(form(image, torch.tensor(effort)), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("effort", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_effort_means_the_same_as_a_tensor(effort: float):
    assert effort_bias(torch.tensor(effort)).item() == pytest.approx(
        effort_weight(effort), rel=1e-4, abs=1e-6
    )


def test_an_unknown_routing_is_refused():
    with pytest.raises(ValueError, match="routing 'some' must be one of all, sparse"):
        ExportForm(HFMoE(PRESETS["nano-x2"]), routing="some")
