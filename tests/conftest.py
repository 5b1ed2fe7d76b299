"""What tests of several parts share: a tiny network's weights, made on the spot."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hfmoe.models.config import HFMoEConfig
from hfmoe.models.header import ModelFacts
from hfmoe.models.network import HFMoE
from hfmoe.models.presets import PRESETS
from hfmoe.models.weights import save_weights

TINY = replace(
    PRESETS["nano-x2"],
    dim=8,
    low_dims=(8,),
    head_dim=8,
    encoder_blocks=(2,),
    decoder_blocks=(),
    experts=(0.5, 1.0),
    stem_norm="none",
    token_group=0,
    texture_blocks=1,
    texture_hidden=8,
    dynamic_width=4,
    dynamic_groups=2,
    cross_dim=4,
    cross_stride=1,
)


def tiny_network(config: HFMoEConfig = TINY) -> HFMoE:
    """A small network whose every part has something to say, the same each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = HFMoE(config).eval()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return network


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Networks of this size only lose by a second thread, most of all on a busy machine."""
    torch.set_num_threads(1)


@pytest.fixture
def tiny() -> HFMoE:
    """A tiny network of x2 of one's own."""
    return tiny_network()


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny-x2.safetensors"
    save_weights(path, tiny_network(), ModelFacts(name="tiny-test-x2", scores={"Set5 psnr_y": 30.5}))
    return path


@pytest.fixture(scope="session")
def tiny_gray_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny-gray-x2.safetensors"
    save_weights(path, tiny_network(replace(TINY, channels=1)), ModelFacts(name="tiny-gray-x2"))
    return path
