"""The mixture of damages: each image has its own, the same wherever and whenever it is scored."""

import shutil

import pytest
import torch
from skimage import data

from hfmoe.evaluate.protocols import bicubic, photo_perceptual, photo_restoration
from hfmoe.evaluate.report import Report, evaluate
from hfmoe.evaluate.scores import score_image
from hfmoe.evaluate.seeding import BLUR, NOISE, QUALITY, degradation_for
from hfmoe.image.files import ImageError, Picture, write_picture
from hfmoe.metrics.psnr import psnr


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "photos"
    place.mkdir()
    photo = torch.from_numpy(data.astronaut()[:65, 200:283].copy()).permute(2, 0, 1).float() / 255
    write_picture(place / "b.png", Picture(photo))
    write_picture(place / "a.png", Picture(photo.flip(2)))
    return place


def degraded(protocol, folder):
    return {pair.name: pair.degraded for pair in protocol.pairs(folder)}


def test_damage_does_not_depend_on_the_files_name_or_order_but_on_image_and_seed(folder):
    before = degraded(photo_restoration(2), folder)
    other = degraded(photo_restoration(2, seed=1), folder)
    shutil.move(folder / "b.png", folder / "0.png")
    after = degraded(photo_restoration(2), folder)
    assert torch.equal(before["b.png"], after["0.png"])
    assert not torch.equal(before["b.png"], other["b.png"])
    assert not torch.equal(before["a.png"].flip(3), before["b.png"])


def test_damage_is_that_of_the_first_release():
    """Other strengths would make every published score of the protocol another protocol's."""
    levels = (torch.arange(48).reshape(3, 4, 4) * 5).to(torch.uint8)
    blur, noise, quality = degradation_for(levels, seed=0)
    assert (2 * blur, noise) == pytest.approx(FIRST_RELEASE[:2])
    assert quality == FIRST_RELEASE[2]


FIRST_RELEASE = (0.730786019119103, 19.30989079683624, 64)


def test_strengths_fill_their_ranges():
    generator = torch.Generator().manual_seed(0)
    images = [(torch.rand(3, 4, 4, generator=generator) * 255).to(torch.uint8) for _ in range(200)]
    drawn = [degradation_for(image, seed=0) for image in images]
    for values, (low, high) in zip(zip(*drawn, strict=True), (BLUR, NOISE, QUALITY), strict=True):
        assert low <= min(values) < low + 0.1 * (high - low)
        assert high >= max(values) > high - 0.1 * (high - low)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_is_shrunk_by_the_scale_and_damaged(folder, scale, channels):
    protocol = photo_restoration(scale, channels)
    for pair in protocol.pairs(folder):
        height, width = pair.degraded.shape[-2:]
        assert pair.target.shape == (1, channels, 65 // scale * scale, 83 // scale * scale)
        assert pair.degraded.shape == (1, channels, 65 // scale, 83 // scale)
        assert torch.equal(pair.degraded, (pair.degraded * 255).round() / 255)
        blocks = pair.target.reshape(1, channels, height, scale, width, scale).mean((3, 5))
        assert 18 < float(psnr(pair.degraded, blocks)) < 45
        scores = score_image(pair.target, pair.target, border=protocol.border)
        assert scores.psnr_rgb == float("inf")


@pytest.mark.parametrize(("scale", "smallest"), [(1, 11), (2, 16), (4, 20)])
def test_what_is_too_small_to_score_is_named_and_no_other(folder, scale, smallest):
    write_picture(folder / "c.png", Picture(torch.zeros(3, smallest, smallest)))
    assert len(list(photo_restoration(scale).pairs(folder))) == 3
    write_picture(folder / "d.png", Picture(torch.zeros(3, smallest - 1, 40)))
    with pytest.raises(ImageError, match=r"d\.png: 40 x "):
        list(photo_restoration(scale).pairs(folder))


def test_a_scale_or_channels_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match="scale 0"):
        photo_restoration(0)
    with pytest.raises(ValueError, match="channels 4"):
        photo_restoration(1, 4)


def test_each_photo_is_scored_without_with_mild_and_with_strong_damage(folder):
    report = evaluate(bicubic(4), folder, protocol=photo_perceptual(4))
    assert report.protocol == "photo-perceptual-x4 v1"
    assert [image.name for image in report.images[:3]] == ["a.png, clean", "a.png, mild", "a.png, strong"]
    groups = report.groups()
    assert groups["clean"].psnr_rgb > groups["mild"].psnr_rgb > groups["strong"].psnr_rgb
    parts = [image.scores.psnr_rgb for image in report.images if image.group == "mild"]
    assert groups["mild"].psnr_rgb == pytest.approx(sum(parts) / 2)
    assert Report.from_dict(report.to_dict()) == report


def test_scale_1_has_no_clean_input_to_restore(folder):
    assert {pair.group for pair in photo_perceptual(1).pairs(folder)} == {"mild", "strong"}
