"""LPIPS and DISTS with small random weights: their properties, and their files."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from hfmoe.metrics.dists import DISTS, HannPool, likeness
from hfmoe.metrics.lpips import LPIPS
from hfmoe.metrics.weights import convert, load_dists, load_lpips, main

BUILD = {"lpips-alex": lambda: LPIPS("alex"), "lpips-vgg": lambda: LPIPS("vgg"), "dists": DISTS}
LOAD = {"lpips-alex": load_lpips, "lpips-vgg": load_lpips, "dists": load_dists}


@pytest.fixture(scope="module", params=BUILD)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def distance(kind):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return BUILD[kind]().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def images():
    generator = torch.Generator().manual_seed(0)
    clean = torch.nn.functional.interpolate(torch.rand(2, 3, 8, 8, generator=generator), size=40)
    noise = torch.randn(clean.shape, generator=generator)
    return clean, noise


def test_an_image_has_no_distance_from_itself(distance, images):
    assert distance(images[0], images[0]).abs().max() < 1e-6


def test_more_noise_is_farther(distance, images):
    clean, noise = images
    near, far = (distance((clean + amount * noise).clamp(0, 1), clean) for amount in (0.05, 0.5))
    assert (near > 0).all()
    assert (near < far).all()


def test_each_image_of_a_batch_is_judged_alone(distance, images):
    clean, noise = images
    noisy = (clean + 0.2 * noise).clamp(0, 1)
    together = distance(noisy, clean)
    torch.testing.assert_close(together[1:], distance(noisy[1:], clean[1:]))


def test_the_distance_is_symmetric(distance, images):
    clean, noise = images
    noisy = (clean + 0.2 * noise).clamp(0, 1)
    torch.testing.assert_close(distance(noisy, clean), distance(clean, noisy))


def test_too_small_an_image_is_refused_by_its_size(distance):
    with pytest.raises(ValueError, match="8 x 40"):
        distance(torch.rand(1, 3, 8, 40), torch.rand(1, 3, 8, 40))


def test_lpips_is_the_weighted_distance_of_unit_features_by_hand():
    distance = LPIPS("alex").eval().requires_grad_(False)
    with torch.no_grad():
        for head in list(distance.heads)[1:]:
            head.zero_()
        distance.heads[0].fill_(2.0)
    x, y = torch.rand(1, 3, 40, 40), torch.rand(1, 3, 40, 40)
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    deviation = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    first = [distance.features[0]((image - mean) / deviation).relu()[0].numpy() for image in (x, y)]
    unit = [f / (np.sqrt((f**2).sum(0)) + 1e-10) for f in first]
    assert distance(x, y).item() == pytest.approx(2 * ((unit[0] - unit[1]) ** 2).sum(0).mean(), rel=1e-4)


def test_lpips_scales_as_the_authors_do():
    """Their shift and scale on [-1, 1] are ImageNet's mean and deviation on [0, 1]."""
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    distance = LPIPS("alex")
    x = torch.rand(3, 4, 4)
    ours = (x - distance.scale.mean) / distance.scale.deviation
    theirs = (2 * x - 1 - shift[:, None, None]) / scale[:, None, None]
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_likeness_by_hand():
    x, y = torch.tensor([[[[1.0, 3.0]]]]), torch.tensor([[[[2.0, 6.0]]]])
    texture, structure = likeness(x, y)
    assert texture.item() == pytest.approx(2 * 2 * 4 / (4 + 16), abs=1e-6)
    assert structure.item() == pytest.approx(2 * 2 / (1 + 4), abs=1e-6)


def test_smooth_pooling_keeps_a_constant_away_from_the_border():
    pooled = HannPool(2)(torch.full((1, 2, 8, 8), 0.5))
    torch.testing.assert_close(pooled[..., 1:, 1:], torch.full((1, 2, 3, 3), 0.5))


def public_files(kind, network, folder):
    """What the authors publish: the backbone in torchvision's names, and the metric's own numbers."""
    state = network.state_dict()
    backbone = {name: value for name, value in state.items() if name.startswith("features.")}
    backbone["classifier.1.weight"] = torch.zeros(2, 2)
    if kind == "dists":
        own = {name: state[name].view(1, -1, 1, 1) for name in ("alpha", "beta")}
    else:
        own = {f"lin{i}.model.1.weight": state[f"heads.{i}"].view(1, -1, 1, 1) for i in range(5)}
    torch.save(backbone, folder / "backbone.pth")
    torch.save(own, folder / "own.pth")
    return folder / "backbone.pth", folder / "own.pth"


def test_public_files_become_one_file_with_the_same_distance(kind, distance, images, tmp_path):
    backbone, own = public_files(kind, distance, tmp_path)
    out = tmp_path / "weights.safetensors"
    main([kind, str(out), str(backbone), str(own)])
    clean, noise = images
    noisy = (clean + 0.2 * noise).clamp(0, 1)
    torch.testing.assert_close(LOAD[kind](out)(noisy, clean), distance(noisy, clean))


def test_files_that_do_not_fit_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"absent\.safetensors: no such"):
        load_dists(tmp_path / "absent.safetensors")
    (tmp_path / "text.safetensors").write_text("words")
    with pytest.raises(ValueError, match=r"text\.safetensors: not a safetensors file"):
        load_lpips(tmp_path / "text.safetensors")
    state = {name: value.contiguous() for name, value in LPIPS("alex").state_dict().items()}
    other = tmp_path / "other.safetensors"
    save_file(state, other)
    with pytest.raises(ValueError, match="no tensor alpha"):
        load_dists(other)
    save_file({**state, "heads.2": torch.full((384,), float("nan"))}, other)
    with pytest.raises(ValueError, match=r"heads\.2 holds values that are not finite"):
        load_lpips(other)
    save_file({**load_file(other), "heads.2": torch.ones(384), "more": torch.ones(1)}, other)
    with pytest.raises(ValueError, match="unknown tensor more"):
        load_lpips(other)


def test_a_conversion_of_the_wrong_files_is_one_line(tmp_path):
    with pytest.raises(ValueError, match=r"no tensor heads\.0"):
        convert("lpips-alex", LPIPS("alex").state_dict(), {})
    (tmp_path / "bad.pth").write_bytes(b"no weights")
    arguments = ["dists", str(tmp_path / "out"), str(tmp_path / "bad.pth"), str(tmp_path / "bad.pth")]
    with pytest.raises(SystemExit, match="cannot be made"):
        main(arguments)
    assert not (tmp_path / "out").exists()
