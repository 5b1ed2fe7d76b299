"""Restoring through the public functions: every kind of image comes back as it came, larger."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch

import hfmoe
from hfmoe.image.files import Picture, write_picture
from hfmoe.infer.restorer import Restorer
from hfmoe.models.header import WeightsError
from hfmoe.models.weights import load_weights


@pytest.fixture(scope="module")
def restorer(tiny_weights: Path) -> Restorer:
    return hfmoe.load(tiny_weights, device="cpu")


@pytest.fixture(scope="module")
def photo() -> torch.Tensor:
    return torch.from_numpy(skimage.data.astronaut()[40:168, 150:300]).permute(2, 0, 1).float() / 255


def test_tiling_equals_running_whole(restorer: Restorer, photo: torch.Tensor):
    whole = restorer(photo[None], tile="off")
    tiled = restorer(photo[None], tile=restorer.smallest_tile())
    assert restorer.smallest_tile() < min(photo.shape[1:])
    assert (whole - tiled).abs().max() < 2 / 255
    assert 10 * torch.log10(1 / (whole - tiled).square().mean()) > 60


def test_folding_does_not_change_what_the_weights_do(tiny_weights: Path, photo: torch.Tensor):
    with torch.no_grad():
        unfolded = load_weights(tiny_weights).network(photo[None]).image.clamp(0, 1)
    folded = hfmoe.restore(photo[None], tiny_weights, device="cpu", tile="off")
    torch.testing.assert_close(folded, unfolded, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "shape", [(3, 20, 30), (1, 20, 30), (2, 20, 30), (4, 20, 30), (2, 3, 20, 30), (3, 1, 1)]
)
def test_a_tensor_comes_back_as_a_tensor_of_its_axes(restorer: Restorer, shape: tuple[int, ...]):
    restored = hfmoe.restore(torch.rand(shape), restorer)
    assert restored.shape == (*shape[:-2], 2 * shape[-2], 2 * shape[-1])
    assert restored.dtype == torch.float32
    assert 0 <= restored.min() <= restored.max() <= 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 1), (20, 30, 3), (20, 30, 4)])
def test_an_array_comes_back_with_its_type_and_axes(restorer: Restorer, dtype: type, shape: tuple[int, ...]):
    top = 1 if np.issubdtype(dtype, np.floating) else np.iinfo(dtype).max
    image = (np.random.default_rng(0).random(shape) * top).astype(dtype)
    restored = hfmoe.restore(image, restorer)
    assert isinstance(restored, np.ndarray)
    assert restored.dtype == dtype
    assert restored.shape == (40, 60, *shape[2:])
    assert restored.max() <= top


def test_kinds_agree(restorer: Restorer, photo: torch.Tensor, tmp_path: Path):
    tensor = hfmoe.restore(photo, restorer)
    array = hfmoe.restore(photo.permute(1, 2, 0).numpy(), restorer)
    np.testing.assert_allclose(array, tensor.permute(1, 2, 0).numpy(), atol=1e-6)
    write_picture(tmp_path / "photo.png", Picture(photo))
    picture = hfmoe.restore(tmp_path / "photo.png", restorer)
    torch.testing.assert_close(picture.colour, tensor, rtol=0, atol=1e-5)


def test_depth_profile_and_alpha_are_kept(restorer: Restorer, photo: torch.Tensor):
    alpha = torch.zeros(1, *photo.shape[1:])
    alpha[:, :, 70:] = 1
    restored = hfmoe.restore(Picture(photo, alpha, bits=16, icc=b"profile"), restorer)
    assert (restored.bits, restored.icc) == (16, b"profile")
    assert restored.alpha.shape == (1, *restored.colour.shape[1:])
    assert (restored.alpha[:, :, :130] == 0).all()
    assert (restored.alpha[:, :, 150:] == 1).all()


def test_visible_colours_do_not_depend_on_alpha(restorer: Restorer, photo: torch.Tensor):
    opaque = hfmoe.restore(Picture(photo), restorer)
    faded = hfmoe.restore(Picture(photo, 0.2 + 0.8 * torch.rand(1, *photo.shape[1:])), restorer)
    assert torch.equal(opaque.colour, faded.colour)


def test_sixteen_bits_are_more_than_eight(restorer: Restorer):
    ramp = np.linspace(20000, 21000, 60).astype(np.uint16)[None, :, None].repeat(20, 0).repeat(3, 2)
    restored = hfmoe.restore(ramp, restorer)
    assert len(np.unique(restored // 257)) < len(np.unique(restored)) / 2


def test_a_gray_image_is_restored_as_three_channels_and_averaged(restorer: Restorer, photo: torch.Tensor):
    gray = photo.mean(0, keepdim=True)
    with torch.no_grad():
        colour = restorer.network(gray[None].expand(1, 3, -1, -1)).image
    torch.testing.assert_close(hfmoe.restore(gray, restorer, tile="off"), colour.mean(1).clamp(0, 1))


def test_a_gray_network_restores_colour_channel_by_channel(tiny_gray_weights: Path, photo: torch.Tensor):
    gray = hfmoe.load(tiny_gray_weights, device="cpu")
    restored = hfmoe.restore(photo, gray)
    for channel in range(3):
        alone = hfmoe.restore(photo[channel : channel + 1], gray)
        torch.testing.assert_close(restored[channel : channel + 1], alone, rtol=0, atol=1e-5)


def test_a_result_can_be_used_like_any_tensor(restorer: Restorer, photo: torch.Tensor):
    restored = hfmoe.restore(photo, restorer)
    assert not restored.is_inference()
    restored.mul_(0.5)


@pytest.mark.parametrize(
    "image, rule",
    [
        (torch.rand(3, 0, 4), "is empty"),
        (torch.rand(5, 4, 4), "5 channels must have 1 to 4"),
        (torch.rand(4, 4), "must be uint8, uint16 or floating"),
        (torch.zeros(3, 4, 4, dtype=torch.int64), "must be uint8, uint16 or floating"),
        (torch.full((3, 4, 4), float("nan")), "not finite"),
        (torch.full((3, 4, 4), 255.0), "must be in"),
        (np.zeros((4, 4), dtype=np.int32), "must be uint8, uint16 or floating"),
    ],
)
def test_an_image_that_cannot_be_restored_is_refused_with_its_rule(restorer: Restorer, image, rule: str):
    with pytest.raises(ValueError, match=rule):
        hfmoe.restore(image, restorer)


def test_wrong_settings_are_refused_with_their_rule(restorer: Restorer, tiny_weights: Path):
    image = torch.rand(3, 8, 8)
    with pytest.raises(ValueError, match=r"effort 1.5 must be in \[0, 1\]"):
        hfmoe.restore(image, restorer, effort=1.5)
    with pytest.raises(ValueError, match="tile 8 must be at least"):
        hfmoe.restore(image, restorer, tile=8)
    with pytest.raises(ValueError, match="tile 'some' must be"):
        hfmoe.restore(image, restorer, tile="some")
    with pytest.raises(ValueError, match="device 'abacus' must be"):
        hfmoe.load(tiny_weights, device="abacus")
    with pytest.raises(ValueError, match="autocast 'int3' must be"):
        hfmoe.load(tiny_weights, autocast="int3")
    with pytest.raises(WeightsError, match="known:"):
        hfmoe.load("no-such-model")
    with pytest.raises(TypeError, match="int is no path"):
        hfmoe.restore([1, 2], restorer)


def test_bfloat16_comes_close_to_float32(tiny_weights: Path, restorer: Restorer, photo: torch.Tensor):
    half = hfmoe.load(tiny_weights, device="cpu", autocast="bfloat16")
    difference = half(photo[None, :, :48, :48]) - restorer(photo[None, :, :48, :48])
    assert difference.square().mean().sqrt() < 0.02


def test_importing_the_package_imports_no_torch():
    code = "import sys, hfmoe; hfmoe.__version__; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_public_names_are_there():
    assert callable(hfmoe.load)
    assert callable(hfmoe.restore)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = hfmoe.nonsense
