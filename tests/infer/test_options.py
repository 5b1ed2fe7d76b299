"""Strength, ensemble and float pictures: what each promises, whole and in tiles."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import skimage.data
import torch
from torch import nn

import hfmoe
from hfmoe.evaluate.protocols import classical_sr
from hfmoe.evaluate.scores import score_image
from hfmoe.image.files import Picture
from hfmoe.image.filters import binomial, low_pass
from hfmoe.image.resize import resize
from hfmoe.infer.eager import Eager, run_finite
from hfmoe.infer.restorer import POSITIONS, Restorer, mean_of_positions, turn, undo, weaken


@pytest.fixture(scope="module")
def restorer(tiny_weights: Path) -> Restorer:
    return hfmoe.load(tiny_weights, device="cpu")


@pytest.fixture(scope="module")
def photo() -> torch.Tensor:
    return torch.from_numpy(skimage.data.astronaut()[40:168, 150:300]).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_the_low_pass_keeps_what_is_coarse_and_drops_what_is_fine(scale: int):
    assert binomial(4 * scale**2).sum() == pytest.approx(1)
    constant = torch.full((1, 3, 40, 50), 0.3)
    torch.testing.assert_close(low_pass(constant, scale=scale), constant)
    checks = (torch.arange(48) // scale % 2).float().expand(1, 1, 48, 48)
    assert (low_pass(checks, scale=scale) - 0.5)[..., 8:-8, 12:-12].abs().max() < 0.05
    assert low_pass(torch.rand(1, 1, 1, 1), scale=scale).shape == (1, 1, 1, 1)


def test_full_strength_is_the_restored_image_itself(restorer: Restorer, photo: torch.Tensor):
    assert torch.equal(restorer(photo, strength=1.0), restorer(photo))


def test_no_strength_has_the_detail_of_the_enlarged_input_and_the_tones_of_the_restored(photo: torch.Tensor):
    generator = torch.Generator().manual_seed(3)
    enlarged = resize(photo, scale=2)
    tones = low_pass(torch.rand(enlarged.shape, generator=generator), scale=16)
    noise = torch.rand(enlarged.shape, generator=generator)
    restored = enlarged + tones + 0.1 * (noise - low_pass(noise, scale=2))
    weak = weaken(restored, photo, scale=2, strength=0.0)
    assert (weak - (enlarged + tones)).square().mean() < 0.1 * (restored - (enlarged + tones)).square().mean()


def test_strength_goes_evenly_from_one_end_to_the_other(photo: torch.Tensor):
    restored = torch.rand(1, 3, 256, 300)
    none, half, full = (weaken(restored, photo, scale=2, strength=share) for share in (0.0, 0.5, 1.0))
    torch.testing.assert_close(half, (none + full) / 2)
    assert (none - full).abs().max() > 0.1


@pytest.mark.parametrize(
    "options", [{"strength": 0.3}, {"ensemble": True}, {"strength": 0.5, "ensemble": True}]
)
def test_tiles_equal_the_whole_with_every_option(restorer: Restorer, photo: torch.Tensor, options: dict):
    whole = restorer(photo, tile="off", **options)
    tiled = restorer(photo, tile=restorer.smallest_tile(), **options)
    assert (whole - tiled).abs().max() < 2 / 255
    assert 10 * torch.log10(1 / (whole - tiled).square().mean()) > 60


@pytest.mark.parametrize("position", range(POSITIONS))
def test_every_position_is_undone_exactly(position: int):
    image = torch.rand(2, 3, 5, 8)
    assert torch.equal(undo(turn(image, position), position), image)


def test_the_positions_are_eight_different_ones():
    image = torch.rand(1, 1, 4, 4)
    turned = [turn(image, position) for position in range(POSITIONS)]
    assert all(not torch.equal(a, b) for i, a in enumerate(turned) for b in turned[:i])


def test_an_ensemble_turns_with_the_image(restorer: Restorer, photo: torch.Tensor):
    small = photo[..., :40, :56]
    turned = restorer(turn(small, 5), ensemble=True)
    torch.testing.assert_close(undo(turned, 5), restorer(small, ensemble=True), rtol=0, atol=1e-5)


def test_an_ensemble_is_the_mean_and_counts_its_tiles():
    seen: list[tuple[int, int]] = []
    image = torch.rand(1, 1, 4, 6)

    def restore(part: torch.Tensor, on_tile) -> torch.Tensor:
        on_tile(1, 1)
        return part + part[..., :1, :1]

    mean = mean_of_positions(restore, image, on_tile=lambda done, total: seen.append((done, total)))
    corners = (image[..., 0, 0] + image[..., 0, -1] + image[..., -1, 0] + image[..., -1, -1]) / 4
    torch.testing.assert_close(mean, image + corners)
    assert seen == [(done, 8) for done in range(1, 9)]


@pytest.mark.parametrize("name", ["nano-x2", "nano-x4"])
def test_an_ensemble_is_better_on_a_photo(name: str):
    restorer = hfmoe.load(name, device="cpu")
    truth = torch.from_numpy(skimage.data.astronaut()[:288, :384]).permute(2, 0, 1)[None].float() / 255
    small = resize(truth, scale=1 / restorer.scale, round_to_uint8=True)
    protocol = classical_sr(restorer.scale)
    alone, eight = (
        score_image(restorer(small, ensemble=e), truth, border=protocol.border).psnr_y for e in (False, True)
    )
    assert eight > alone


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_a_strength_out_of_range_is_refused(restorer: Restorer, strength: float):
    with pytest.raises(ValueError, match=r"strength .* must be in \[0, 1\]"):
        hfmoe.restore(torch.rand(3, 8, 8), restorer, strength=strength)


def test_the_public_function_takes_strength_and_ensemble(restorer: Restorer, photo: torch.Tensor):
    small = photo[0, :, :40, :40]
    expected = restorer(small[None], strength=0.4, ensemble=True)[0]
    assert torch.equal(hfmoe.restore(small, restorer, strength=0.4, ensemble=True), expected)
    picture = hfmoe.restore(Picture(small), restorer, strength=0.4, ensemble=True)
    assert torch.equal(picture.colour, expected)


def test_floats_beyond_the_unit_interval_are_enlarged_and_kept(restorer: Restorer, photo: torch.Tensor):
    colour = photo[0, :, :40, :40].clone()
    plain = restorer.picture(Picture(colour, bits=32)).colour
    colour[:, 10:20, 10:20] = 7.5
    colour[:, 30:34, 30:34] = -0.5
    bright = restorer.picture(Picture(colour, bits=32)).colour
    assert bright[:, 26:34, 26:34].max() == pytest.approx(7.5, rel=0.1)
    assert bright.min() < -0.3
    assert plain.min() >= 0
    assert plain.max() <= 1


class Overflowing(nn.Module):
    """Doubles an image's size; under autocast its values overflow in the middle."""

    def __init__(self, *, always: bool = False) -> None:
        super().__init__()
        self.always = always
        self.calls: list[bool] = []

    def forward(self, image: torch.Tensor, *, effort: float) -> SimpleNamespace:
        half = torch.is_autocast_enabled(image.device.type)
        self.calls.append(half)
        result = nn.functional.interpolate(image, scale_factor=2)
        if half or self.always:
            result[..., 3, 3] = float("nan")
        return SimpleNamespace(image=result)


def test_a_tile_that_overflows_in_half_precision_is_made_again_in_float32():
    network, image = Overflowing(), torch.rand(1, 3, 8, 8)
    restored = run_finite(network, image, effort=0.5, autocast=torch.bfloat16)
    assert network.calls == [True, False]
    assert torch.equal(restored, nn.functional.interpolate(image, scale_factor=2))


def test_only_the_tile_that_overflows_is_made_again(restorer: Restorer):
    class Sometimes(Overflowing):
        def forward(self, image: torch.Tensor, *, effort: float) -> SimpleNamespace:
            restored = super().forward(image, effort=effort)
            return restored if image.max() > 0.5 else SimpleNamespace(image=restored.image.nan_to_num())

    network = Sometimes()
    side = restorer.smallest_tile()
    image = torch.zeros(1, 3, 2 * side, side)
    image[:, :, 0, 0] = 1
    engine = Eager(network, torch.device("cpu"), torch.bfloat16)
    double = Restorer(engine, restorer.geometry, restorer.facts)
    restored = double(image, tile=side)
    assert torch.isfinite(restored).all()
    assert network.calls.count(False) == 1
    assert network.calls.count(True) >= 3


def test_values_that_are_not_finite_in_float32_are_an_error(restorer: Restorer):
    engine = Eager(Overflowing(always=True), torch.device("cpu"), torch.bfloat16)
    with pytest.raises(RuntimeError, match="not finite, in float32 too"):
        Restorer(engine, restorer.geometry, restorer.facts)(torch.rand(1, 3, 8, 8))
