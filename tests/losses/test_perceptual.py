"""The perceptual loss on small or random features; no weights are downloaded."""

from typing import get_args

import pytest
import torch
import torch.nn.functional as F

from hfmoe.losses import VGGFeatures, perceptual
from hfmoe.losses.perceptual import LAYERS, layer_names
from hfmoe.models.features import Depth

DEPTHS: tuple[Depth, ...] = get_args(Depth)


def features(*layers: str, depth: Depth = "vgg19") -> VGGFeatures:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return VGGFeatures(depth, layers)


def image(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_equal_images_are_at_no_distance():
    x = image(1, 3, 16, 16)
    found = perceptual(x, x.clone(), network=features("conv1_2", "conv2_1"), weights={"conv2_1": 1.0})
    assert found.item() == 0


def test_features_are_normalised_convolutions_before_their_relu():
    network = features("conv1_1", "conv1_2")
    x = image(2, 3, 6, 6)
    mean, deviation = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    normal = torch.stack([(x[:, i] - mean[i]) / deviation[i] for i in range(3)], dim=1)
    weights = network.state_dict()
    first = F.conv2d(normal, weights["features.0.weight"], weights["features.0.bias"], padding=1)
    second = F.conv2d(first.relu(), weights["features.2.weight"], weights["features.2.bias"], padding=1)
    found = network(x)
    torch.testing.assert_close(found["conv1_1"], first)
    torch.testing.assert_close(found["conv1_2"], second)
    assert (first < 0).any() and (second < 0).any()


def test_the_loss_is_the_weighted_sum_of_mean_absolute_differences():
    network = features("conv1_1", "conv2_1")
    x, y = image(1, 3, 8, 8), image(1, 3, 8, 8, seed=1)
    ours, theirs = network(x), network(y)
    expected = 0.5 * (ours["conv1_1"] - theirs["conv1_1"]).abs().mean()
    expected = expected + 2 * (ours["conv2_1"] - theirs["conv2_1"]).abs().mean()
    found = perceptual(x, y, network=network, weights={"conv1_1": 0.5, "conv2_1": 2.0})
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("depth", "last", "place"), [("vgg16", "conv5_3", 28), ("vgg19", "conv5_4", 34), ("vgg19", "conv3_4", 16)]
)
def test_convolutions_stand_where_torchvision_has_them(depth: Depth, last: str, place: int):
    with torch.device("meta"):
        network = VGGFeatures(depth, [last])
    assert list(network.state_dict())[-1] == f"features.{place}.bias"
    assert isinstance(network.features[-1], torch.nn.Conv2d)


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_default_layers_exist_and_end_their_blocks(depth: Depth):
    names = layer_names(depth)
    assert set(LAYERS[depth]) <= set(names)
    assert len(names) == int(depth[3:]) - 3
    assert list(LAYERS[depth].values()) == [0.1, 0.1, 1.0, 1.0, 1.0]


def test_no_weight_of_the_features_trains_but_the_image_gets_a_gradient():
    network = features("conv2_2")
    x = image(1, 3, 8, 8).requires_grad_()
    perceptual(x, image(1, 3, 8, 8, seed=1), network=network, weights={"conv2_2": 1.0}).backward()
    assert x.grad is not None and x.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in network.parameters())


def test_gradients_equal_finite_differences():
    network = features("conv1_2", "conv2_1").double()
    x, y = image(1, 3, 4, 4).double().requires_grad_(), image(1, 3, 4, 4, seed=1).double()
    weights = {"conv1_2": 0.1, "conv2_1": 1.0}
    assert torch.autograd.gradcheck(lambda x: perceptual(x, y, network=network, weights=weights), x)


def test_autocast_does_not_reach_the_features():
    network = features("conv2_1")
    x = image(1, 3, 8, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = network(x)["conv2_1"]
    assert torch.equal(found, network(x)["conv2_1"])


def test_one_channel_is_seen_as_three_equal_ones():
    network = features("conv1_2")
    gray = image(1, 1, 8, 8)
    torch.testing.assert_close(network(gray), network(gray.expand(-1, 3, -1, -1)))


@pytest.mark.parametrize("layers", [(), ("conv1_3",), ("relu1_2", "conv1_1")])
def test_layers_that_do_not_exist_are_named(layers: tuple[str, ...]):
    with pytest.raises(ValueError, match="layers of vgg19 must be some of conv1_1, .*, not "):
        VGGFeatures("vgg19", layers)
