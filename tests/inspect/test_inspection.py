"""What a network is seen to do: fields, spectra and routing that can be known beforehand."""

import json
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from hfmoe.inspect.field import mean_field, radius, receptive_field
from hfmoe.inspect.inspection import NetworkInspection, inspect_image, write_inspection
from hfmoe.inspect.panels import filter_energy, span, spread
from hfmoe.inspect.routing import entropy, layer_report, routing_report
from hfmoe.inspect.spectrum import energy_ratio, radial_spectrum
from hfmoe.inspect.trace import image_bands, mixtures, trace
from hfmoe.models.config import HFMoEConfig
from hfmoe.models.network import HFMoE, LayerRouting
from hfmoe.report.sheet import write_row, write_rows

SMALL = HFMoEConfig(
    scale=2,
    dim=8,
    low_dims=(8, 8),
    head_dim=8,
    encoder_blocks=(1, 1),
    decoder_blocks=(1,),
    experts=(0.5, 1.0),
    texture_blocks=1,
    texture_hidden=8,
    dynamic_width=4,
    cross_dim=4,
)
FILES = {"bands.png", "experts.png", "gates.png", "filters.png", "field.png", "overview.png", "restored.png"}


def network(config=SMALL):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        built = HFMoE(config).eval().requires_grad_(False)
        for parameter in built.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return built


def drawn(height=40, width=56, channels=3):
    return torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(1))


def convolution(side):
    conv = nn.Conv2d(3, 3, side, padding=side // 2)
    nn.init.ones_(conv.weight)
    return conv.requires_grad_(False)


@pytest.mark.parametrize("side", [1, 3, 7])
def test_the_field_of_a_convolution_is_its_kernel(side):
    field = receptive_field(convolution(side), drawn(21, 21), at=(10, 10))
    expected = torch.zeros(21, 21)
    part = slice(10 - side // 2, 11 + side // 2)
    expected[part, part] = 9
    assert torch.equal(field, expected)
    assert radius(field, at=(10, 10), share=1.0) == side // 2


def test_the_field_of_an_enlargement_is_its_pixel():
    def enlarge(image):
        return image.repeat_interleave(4, -1).repeat_interleave(4, -2)

    field = receptive_field(enlarge, drawn(9, 9), at=(4, 6))
    assert field.nonzero().tolist() == [[4, 6]]


def test_the_mean_field_extends_an_image_that_is_too_small():
    field = mean_field(convolution(3), drawn(10, 50), grid=8, side=24)
    assert field.shape == (24, 24)
    assert field.nonzero().shape == (9, 2)


def test_a_pixel_outside_and_an_even_side_are_refused():
    with pytest.raises(ValueError, match=r"\(4, 9\)"):
        receptive_field(convolution(3), drawn(9, 9), at=(4, 9))
    with pytest.raises(ValueError, match="side 32"):
        mean_field(convolution(3), drawn(40, 40), grid=8, side=32)


def test_a_network_sees_no_further_than_its_halo():
    built = network()
    side = 7 * SMALL.size_multiple
    field = mean_field(lambda x: built(x).image, drawn(40, 56), grid=SMALL.size_multiple, side=side, most=1)
    assert 1 < radius(field, at=(side // 2, side // 2), share=1.0) <= 3 * SMALL.size_multiple


def test_identical_images_have_a_ratio_of_one_at_every_frequency():
    image = drawn(80, 96)[0]
    ratio = energy_ratio(image, image)
    torch.testing.assert_close(ratio, torch.ones_like(ratio))


def test_twice_the_contrast_is_four_times_the_energy_and_blur_takes_the_high_end():
    image = drawn(80, 80)[0]
    twice = energy_ratio(0.5 + 2 * (image - 0.5), image)
    torch.testing.assert_close(twice, torch.full_like(twice, 4.0))
    blurred = nn.functional.avg_pool2d(image[None], 3, stride=1, padding=1)[0]
    ratio = energy_ratio(blurred, image)
    assert ratio[1] > 0.8
    assert ratio[-8:].max() < 0.3


def test_a_wave_has_its_energy_at_its_frequency():
    wave = 0.5 + 0.4 * torch.sin(2 * math.pi * 0.25 * torch.arange(128)).expand(1, 128, 128)
    found = radial_spectrum(wave)
    assert found.frequency[found.energy.argmax()].item() == pytest.approx(0.25, abs=0.02)


def test_images_of_other_sizes_are_refused():
    with pytest.raises(ValueError, match=r"\(40, 56\) and \(40, 40\)"):
        energy_ratio(drawn()[0], drawn()[0][..., :40])


def test_looking_does_not_change_the_result_and_leaves_no_hooks():
    built, image = network(), drawn()
    before = built(image).image
    seen = trace(built, image)
    assert torch.equal(seen.restored, before)
    assert not any(module._forward_hooks for module in built.modules())


def test_the_traced_maps_are_those_of_the_network():
    built, image = network(), drawn()
    seen = trace(built, image, effort=1.0)
    assert list(seen.routing) == ["down, scale 0, block 0", "down, scale 1, block 0", "up, scale 0, block 0"]
    assert len(mixtures(built)) == 3
    assert all((each.chosen == 1).all() for each in seen.routing.values())
    assert seen.high.shape == (64, 64)
    assert seen.low.shape == (32, 32)
    assert seen.gate_low is not None
    assert 0 < seen.gate_low.min() < seen.gate_low.max() < 1


@pytest.mark.parametrize("split", [True, False])
def test_the_bands_of_an_image_add_up_to_it(split: bool):
    image = drawn(41, 55)
    bands = image_bands(network(replace(SMALL, frequency_split=split)), image)
    torch.testing.assert_close(bands.low + bands.high, image[0], atol=1e-5, rtol=1e-5)


def test_a_fresh_filter_has_no_energy_and_an_ablated_one_no_kernels():
    kernels = trace(HFMoE(SMALL).eval(), drawn()).kernels
    assert kernels is not None
    assert filter_energy(kernels).max() == 0
    assert trace(network(replace(SMALL, dynamic_filter=False)), drawn()).kernels is None


def test_coarse_maps_are_spread_over_their_pixels():
    large = spread(torch.tensor([[1, 2], [3, 4]]), height=7, width=6, multiple=8)
    assert large.shape == (7, 6)
    assert large[3, 3] == 1
    assert large[4, 4] == 4


def test_a_flat_map_has_a_range():
    assert span(torch.zeros(3, 3)).high > 0


def routing(chosen, gate=0.5):
    marks = torch.tensor(chosen)[None, None, :, None]
    return LayerRouting(
        marks, torch.full(marks.shape, gate), torch.zeros(3), torch.zeros(()), torch.zeros(())
    )


def test_a_layers_report_counts_by_hand():
    costs = torch.tensor([0.25, 0.5, 1.0])
    found = layer_report("x", costs, [routing([0, 0, 1, 1]), routing([0, 0, 0, 0], gate=0.9)])
    assert found.load == (0.75, 0.25, 0)
    assert found.windows == 8
    assert found.expected_cost == pytest.approx(0.75 * 0.25 + 0.25 * 0.5)
    assert found.entropy == pytest.approx((0.75 * math.log(4 / 3) + 0.25 * math.log(4)) / math.log(3))
    assert found.within == pytest.approx(math.log(2) / math.log(3) / 2)
    assert found.gate == pytest.approx(0.7)
    assert (found.unused, found.collapsed) == ((2,), False)


def test_one_expert_for_all_is_called_collapsed():
    found = layer_report("x", torch.tensor([0.25, 0.5, 1.0]), [routing([2, 2])])
    assert (found.entropy, found.unused, found.collapsed) == (0, (0, 1), True)
    assert entropy(torch.full((4,), 0.25)) == pytest.approx(1)


def test_a_folders_report_has_every_mixture_and_survives_json():
    report = routing_report(network(), iter([drawn(), drawn(20, 20)]), effort=0.0)
    assert (report.images, len(report.layers)) == (2, 3)
    assert all(layer.load == (1, 0) and layer.collapsed for layer in report.layers)
    assert json.loads(json.dumps(report.to_dict()))["layers"][0]["collapsed"] is True
    with pytest.raises(ValueError, match="at least one image"):
        routing_report(network(), [])


def inspected(config: HFMoEConfig) -> NetworkInspection:
    """An inspection with a truth of a small image of the network's channels."""
    image = drawn(33, 20, channels=config.channels)
    truth = drawn(33 * config.scale, 20 * config.scale, channels=config.channels)
    return inspect_image(network(config), image, name="drawn", truth=truth)


@pytest.mark.slow
def test_an_inspection_writes_the_documented_files(tmp_path):
    paths = write_inspection(inspected(SMALL), tmp_path / "new" / "folder")
    assert {path.name for path in paths} == {*FILES, "spectrum.png", "inspection.json"}
    assert all(path.stat().st_size > 300 for path in paths)
    facts = json.loads(paths[-1].read_text())
    assert len(facts["layers"]) == 3
    assert facts["receptive_field"]["50%"] <= facts["receptive_field"]["100%"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [
        replace(SMALL, experts=(1.0,), dynamic_filter=False, cross_attention=False, frequency_split=False),
        replace(SMALL, scale=1, channels=1, unshuffle=True, learned_split=False, top_k=2),
    ],
    ids=["ablated", "gray of scale 1"],
)
def test_every_kind_of_network_is_drawn(config, tmp_path):
    found = inspected(config)
    write_rows(list(found.panels.values()), tmp_path / "overview.png", width=18.0)
    assert (tmp_path / "overview.png").stat().st_size > 300
    assert len(json.loads(json.dumps(found.facts))["layers"]) == (0 if config.experts == (1.0,) else 3)


@pytest.mark.parametrize("side", [1, 16])
def test_a_flat_or_tiny_truth_still_gives_a_picture(side, tmp_path):
    image, truth = torch.full((1, 3, side, side), 0.5), torch.full((1, 3, 2 * side, 2 * side), 0.5)
    found = inspect_image(network(), image, name="flat", truth=truth)
    write_row(found.panels["spectrum"], tmp_path / "spectrum.png", width=18.0)
    assert (tmp_path / "spectrum.png").is_file()


@pytest.mark.slow
def test_without_a_truth_there_is_no_spectrum(tmp_path):
    paths = write_inspection(inspect_image(network(), drawn(1, 1), name="dot"), tmp_path)
    assert {path.name for path in paths} == {*FILES, "inspection.json"}
