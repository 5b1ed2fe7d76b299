"""Evaluation: the protocols' figures, and that no image is skipped or scored unnamed."""

import json
import math

import pytest
import torch
from skimage import data

from hfmoe.evaluate.protocols import bicubic, classical_sr, luma_sr
from hfmoe.evaluate.report import Report, evaluate
from hfmoe.evaluate.scores import score_image
from hfmoe.image.colour import luma
from hfmoe.image.files import ImageError, Picture, write_picture
from hfmoe.image.picture import round_to_8bit
from hfmoe.image.resize import resize
from hfmoe.metrics.psnr import psnr


@pytest.fixture
def folder(tmp_path):
    photo = torch.from_numpy(data.astronaut()[:66, 200:261]).permute(2, 0, 1).float() / 255
    write_picture(tmp_path / "b.png", Picture(photo))
    write_picture(tmp_path / "a.png", Picture(photo[:1]))
    return tmp_path


def _knows(protocol, folder):
    """A restorer that has seen the answers."""
    targets = {pair.degraded.sum().item(): pair.target for pair in protocol.pairs(folder)}
    return lambda degraded: targets[degraded.sum().item()].expand(-1, degraded.shape[1], -1, -1)


@pytest.mark.parametrize("protocol", [classical_sr(2), classical_sr(3), luma_sr(4)], ids=lambda p: p.name)
def test_a_perfect_restorer_scores_infinity_and_one(folder, protocol):
    mean = evaluate(_knows(protocol, folder), folder, protocol=protocol).mean()
    assert (mean.psnr_y, mean.psnr_rgb) == (math.inf, math.inf)
    assert (mean.ssim_y, mean.ssim_rgb) == (pytest.approx(1), pytest.approx(1))


def test_pairs_are_cropped_to_the_scale_and_on_the_8_bit_grid(folder):
    gray, colour = classical_sr(4).pairs(folder)
    assert (gray.name, colour.name) == ("a.png", "b.png")
    assert colour.target.shape == (1, 3, 64, 60)
    assert colour.degraded.shape == (1, 3, 16, 15)
    torch.testing.assert_close(round_to_8bit(colour.degraded), colour.degraded)
    assert gray.target.shape[1] == 1
    assert torch.equal(gray.degraded, gray.degraded[:, :1].expand(-1, 3, -1, -1))


def test_scores_are_of_the_rounded_image_without_its_border(folder):
    protocol = classical_sr(2)
    _, pair = protocol.pairs(folder)
    restored = resize(pair.degraded, scale=2)
    restored[..., :2, :] = 9.0
    rounded = round_to_8bit(restored.double())
    scores = score_image(restored, pair.target, border=protocol.border)
    expected = psnr(luma(rounded), luma(pair.target.double()), border=2)
    assert scores.psnr_y == pytest.approx(expected.item())
    assert scores.psnr_rgb == pytest.approx(psnr(rounded, pair.target.double(), border=2).item())


def test_a_gray_original_is_scored_on_its_own_samples(folder):
    protocol = classical_sr(2)
    pair, _ = protocol.pairs(folder)
    restored = pair.target.expand(-1, 3, -1, -1) + 2 / 255
    scores = score_image(restored.clamp(0, 1), pair.target, border=protocol.border)
    assert scores.psnr_y == pytest.approx(scores.psnr_rgb)


def test_bicubic_beats_nearest_and_does_not_depend_on_its_batch(folder):
    protocol = classical_sr(2)
    smooth = evaluate(bicubic(2), folder, protocol=protocol).mean()
    blocks = evaluate(lambda x: x.repeat_interleave(2, 2).repeat_interleave(2, 3), folder, protocol=protocol)
    assert smooth.psnr_y > blocks.mean().psnr_y + 0.5
    gray, colour = (pair.degraded for pair in protocol.pairs(folder))
    together = bicubic(2)(torch.cat([gray, colour]))
    torch.testing.assert_close(together, torch.cat([bicubic(2)(gray), bicubic(2)(colour)]))


def test_the_hook_hears_of_each_image_in_the_reports_order(folder):
    heard = []
    report = evaluate(bicubic(2), folder, protocol=classical_sr(2), on_image=heard.append)
    assert tuple(heard) == report.images
    assert [image.name for image in report.images] == ["a.png", "b.png"]
    assert all(image.seconds > 0 for image in report.images)
    assert report.seconds() == pytest.approx(sum(image.seconds for image in report.images))
    assert report.mean().psnr_y == pytest.approx(sum(image.scores.psnr_y for image in report.images) / 2)


def test_a_report_survives_json_even_with_infinite_psnr(folder):
    protocol = classical_sr(2)
    report = evaluate(_knows(protocol, folder), folder, protocol=protocol)
    values = json.loads(report.to_json(), parse_constant=pytest.fail)
    assert values["protocol"] == "classical-sr-x2 v1"
    assert values["mean"]["psnr_y"] == "inf"
    assert Report.from_dict(values) == report


@pytest.mark.parametrize(
    ("restored", "rule"),
    [
        (lambda x: x, "shape"),
        (lambda x: resize(x, scale=2)[:, :2], "shape"),
        (lambda x: resize(x, scale=2) * float("nan"), "NaN"),
    ],
)
def test_a_restorer_of_wrong_shape_or_nan_is_an_error_naming_the_image(folder, restored, rule):
    with pytest.raises(ValueError, match=rf"a\.png: .*{rule}"):
        evaluate(restored, folder, protocol=classical_sr(2))


def test_an_unreadable_image_is_named_and_not_skipped(folder):
    (folder / "c.png").write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"c\.png"):
        evaluate(bicubic(2), folder, protocol=classical_sr(2))


def test_an_image_too_small_to_score_is_named(folder):
    write_picture(folder / "c.png", Picture(torch.rand(3, 3, 40)))
    with pytest.raises(ImageError, match=r"c\.png: 40 x 3 pixels; .*at least 19"):
        evaluate(bicubic(4), folder, protocol=classical_sr(4))


def test_an_empty_or_missing_folder_is_refused_by_name(tmp_path):
    with pytest.raises(ImageError, match="no images"):
        evaluate(bicubic(2), tmp_path, protocol=classical_sr(2))
    with pytest.raises(ImageError, match="nowhere"):
        evaluate(bicubic(2), tmp_path / "nowhere", protocol=classical_sr(2))


@pytest.mark.parametrize("protocol", [classical_sr, luma_sr])
def test_scales_below_two_are_no_super_resolution(protocol):
    with pytest.raises(ValueError, match="scale 1"):
        protocol(1)
