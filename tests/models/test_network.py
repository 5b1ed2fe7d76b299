from dataclasses import asdict, replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from hfmoe.models.config import HFMoEConfig, check_type
from hfmoe.models.cost import count_parameters, multiply_adds
from hfmoe.models.folding import fold, is_folded
from hfmoe.models.network import HFMoE, Perturbation, pad_to_multiple
from hfmoe.models.presets import ABLATIONS, PRESETS

SMALL = HFMoEConfig(
    scale=2,
    dim=8,
    stem_norm="layer",
    low_dims=(8, 8),
    head_dim=4,
    encoder_blocks=(2, 1),
    decoder_blocks=(1,),
    window=4,
    token_group=2,
    texture_blocks=1,
    texture_hidden=8,
    dynamic_width=4,
    dynamic_groups=2,
    cross_dim=4,
)
LIMITS = {"nano": 100_000, "tiny": 250_000, "small": 900_000, "base": 6_000_000, "large": 24_000_000}


def awake(config: HFMoEConfig, seed: int = 0) -> HFMoE:
    """A network whose zero-initialised parts have been moved off zero."""
    torch.manual_seed(seed)
    network = HFMoE(config)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network.eval()


@settings(deadline=None, max_examples=20)
@given(height=st.integers(1, 40), width=st.integers(1, 40), scale=st.integers(1, 4))
def test_any_size_from_one_pixel_up_gives_scale_times_that_size(height, width, scale):
    network = awake(replace(SMALL, scale=scale))
    image = torch.rand(1, 3, height, width)
    assert network(image).image.shape == (1, 3, scale * height, scale * width)


def test_an_odd_size_equals_its_padded_run_cropped():
    network, image = awake(SMALL), torch.rand(1, 3, 19, 37)
    padded = F.pad(image, (0, 11, 0, 13), mode="replicate")
    assert torch.equal(pad_to_multiple(image, SMALL.size_multiple), padded)
    torch.testing.assert_close(network(image).image, network(padded).image[:, :, :38, :74])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("unshuffle", [False, True])
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_gray_and_colour_with_and_without_the_folding_stem(channels, unshuffle, scale):
    network = awake(replace(SMALL, scale=scale, channels=channels, unshuffle=unshuffle))
    assert network(torch.rand(2, channels, 9, 20)).image.shape == (2, channels, 9 * scale, 20 * scale)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("unshuffle", [False, True])
def test_a_silent_network_returns_the_interpolated_input(scale, unshuffle):
    network = HFMoE(replace(SMALL, scale=scale, unshuffle=unshuffle))
    for parameter in network.upsampler.project.parameters():
        torch.nn.init.zeros_(parameter)
    image = torch.rand(1, 3, 16, 32)
    expected = F.interpolate(image, scale_factor=scale, mode="bilinear") if scale > 1 else image
    torch.testing.assert_close(network(image).image, expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("texture", ["depthwise", "dense", "rep"])
def test_folding_changes_speed_not_output(texture):
    network = awake(replace(SMALL, texture=texture))
    folded, image = fold(network), torch.rand(2, 3, 33, 40)
    assert is_folded(folded) and not is_folded(network)
    assert (folded(image).image - network(image).image).abs().max() < 1e-5
    count = [sum(p.numel() for p in net.parameters()) for net in (folded, network)]
    assert count[0] < count[1]


def test_the_same_alone_and_in_a_batch():
    network, images = awake(SMALL), torch.rand(3, 3, 24, 32)
    together = network(images)
    for i in range(3):
        alone = network(images[i : i + 1])
        torch.testing.assert_close(alone.image[0], together.image[i], atol=1e-5, rtol=1e-5)
        for one, all_ in zip(alone.routing, together.routing, strict=True):
            assert torch.equal(one.chosen[0], all_.chosen[i])


def test_effort_ends_route_every_window_of_every_layer_to_the_cheapest_and_the_heaviest():
    network, image = awake(SMALL), torch.rand(1, 3, 64, 64)
    for effort, expert in ((0.0, 0), (1.0, len(SMALL.experts) - 1)):
        routing = network(image, effort=effort).routing
        assert len(routing) == 4
        assert all((layer.chosen == expert).all() for layer in routing)
    assert torch.equal(network(image, effort=0.5).image, network(image).image)


@pytest.mark.parametrize("variant", ABLATIONS)
def test_every_ablation_builds_learns_and_runs(variant):
    torch.manual_seed(0)
    network = HFMoE(replace(SMALL, **ABLATIONS[variant]))
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    target = torch.rand(2, 3, 32, 32)
    degraded = F.avg_pool2d(target, 2)
    errors = []
    for step in range(8):
        perturb = Perturbation(
            temperature=2.0,
            router_noise=0.1,
            random_expert=0.2,
            hf_noise=0.05,
            generator=torch.Generator().manual_seed(step),
        )
        restored = network(degraded, perturb=perturb)
        error = F.l1_loss(restored.image, target)
        (error + 0.01 * restored.balance + 0.001 * restored.z).backward()
        optimiser.step()
        optimiser.zero_grad()
        errors.append(error.item())
    assert errors[-1] < errors[0]


def test_gradients_reach_every_parameter():
    network = awake(replace(SMALL, top_k=len(SMALL.experts)))
    restored = network(torch.rand(2, 3, 32, 32))
    (restored.image.square().mean() + restored.balance + restored.z).backward()
    missing = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert missing == []


def test_a_frozen_split_has_no_parameter_to_train():
    names = [name for name, _ in HFMoE(replace(SMALL, learned_split=False)).named_parameters()]
    assert not [name for name in names if name.startswith("split.")]


def test_noise_acts_only_when_training_passes_it():
    network, image = awake(SMALL), torch.rand(1, 3, 32, 32)
    assert torch.equal(network(image).image, network(image, perturb=Perturbation()).image)

    def noisy(seed: int) -> torch.Tensor:
        perturb = Perturbation(hf_noise=0.5, generator=torch.Generator().manual_seed(seed))
        return network(image, perturb=perturb).image

    assert torch.equal(noisy(1), noisy(1)) and not torch.equal(noisy(1), noisy(2))


def test_stochastic_depth_skips_branches_of_some_samples():
    network, images = awake(SMALL), torch.rand(1, 3, 32, 32).repeat(16, 1, 1, 1)
    perturb = Perturbation(drop_path=0.5, generator=torch.Generator().manual_seed(0))
    spread = network(images, perturb=perturb).image.std(0).max()
    assert spread > 1e-4


def test_bfloat16_autocast_stays_close_to_float32():
    network, image = awake(SMALL), torch.rand(1, 3, 32, 32)
    with torch.autocast("cpu", torch.bfloat16):
        half = network(image)
    assert (half.image.float() - network(image).image).abs().max() < 0.05
    assert half.balance.dtype == torch.float32


def test_bfloat16_does_not_round_the_image_that_is_corrected():
    network = HFMoE(replace(SMALL, scale=1)).eval()
    for parameter in network.upsampler.project.parameters():
        torch.nn.init.zeros_(parameter)
    image = torch.rand(1, 3, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(network(image).image, image)


def test_a_pixel_without_tokens_reaches_no_further_than_its_coarsest_windows():
    config = replace(SMALL, token_group=0, deformable_reach=0.0, encoder_blocks=(1, 1), decoder_blocks=(0,))
    network = awake(config)
    image = torch.rand(1, 3, 96, 96, requires_grad=True)
    network(image).image[0, :, 80, 80].sum().backward()
    assert image.grad is not None
    rows, columns = image.grad[0].abs().sum(0).nonzero().unbind(1)
    assert rows.min() > 16 and rows.max() < 72 and columns.min() > 16 and columns.max() < 72


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_builds_and_runs_within_its_parameter_limit(name):
    config = PRESETS[name]
    parameters, (dense, expected) = count_parameters(config), multiply_adds(config, 64, 64)
    most = LIMITS[name.split("-")[0]]
    assert parameters.active < parameters.total and 0.7 * most < parameters.total <= most
    assert 0 < expected < dense
    with torch.inference_mode():
        restored = HFMoE(config).eval()(torch.rand(1, config.channels, 17, 23)).image
    assert restored.shape[2:] == (config.scale * 17, config.scale * 23)


def test_multiply_adds_are_those_of_a_network_counted_by_hand():
    config = replace(
        SMALL, scale=1, low_dims=(8,), encoder_blocks=(0,), decoder_blocks=(), texture_blocks=0,
        dynamic_filter=False, cross_attention=False, frequency_split=False,
    )  # fmt: skip
    stem, head, project = 3 * 8 * 9, 8 * 8 * 9, 8 * 3
    depthwise, join_high = 8 * 9, 8 * 8
    enter, join_low = 8 * 8 / 4, 8 * 32 / 4
    per_pixel = stem + head + project + depthwise + join_high + enter + join_low
    assert multiply_adds(config, 16, 16).dense == round(256 * per_pixel)


def test_the_base_counts_as_the_convolution_it_is_and_two_choices_cost_their_two_heaviest():
    one, two = (multiply_adds(replace(SMALL, top_k=k), 16, 16) for k in (1, 2))
    enlarged = multiply_adds(replace(SMALL, scale=1), 16, 16)
    assert one.dense - enlarged.dense == 256 * (3 * 3 * 9 * 4 + 8 * 9)
    assert one.dense < two.dense and two.expected <= two.dense


@pytest.mark.parametrize(
    ("field", "value"),
    [("head_dim", 0), ("dynamic_groups", 0), ("dim", 0),
     ("token_group", -1), ("deformable_reach", -1.0), ("experts", (-1.0, 1.0)), ("dynamic_kernel", -1),
     ("window", 7), ("scale", 5),
     ("channels", 2), ("experts", (2.0, 1.0)), ("low_dims", (10, 12)), ("texture", "spiral"),
     ("stem_norm", "batch"), ("encoder_blocks", (1,)), ("dynamic_kernel", 4), ("top_k", 9)],
)  # fmt: skip
def test_an_impossible_configuration_is_refused_by_value(field, value):
    with pytest.raises(ValueError, match="must"):
        replace(SMALL, **{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [("dim", "abc"), ("residual_scale", "1e-1"), ("reparam", 1), ("low_dims", 32), ("low_dims", ("a",)),
     ("texture_blocks", 1.5), ("dim", True), ("texture", 3)],
)  # fmt: skip
def test_a_mistyped_field_is_refused_by_name(field, value):
    with pytest.raises(ValueError, match=f"{field} .*must be a"):
        check_type(field, value, like=getattr(SMALL, field))


def test_a_configuration_is_plain_data():
    assert HFMoEConfig(**asdict(SMALL)) == SMALL
