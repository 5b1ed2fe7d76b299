"""Protocols of scale 1: what they do to an image can be repeated anywhere and checked by hand."""

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from hfmoe.evaluate.protocols import (
    NAMES,
    EvaluationProtocol,
    ProtocolSettings,
    as_given,
    choose_protocol,
    deblocking,
    default_protocol,
    gaussian_denoising,
    paired,
)
from hfmoe.evaluate.report import evaluate
from hfmoe.evaluate.scores import score_image
from hfmoe.evaluate.seeding import noise_for, standard_normal
from hfmoe.image.encoded import through_jpeg
from hfmoe.image.files import ImageError, Picture, write_picture


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "photos"
    place.mkdir()
    photo = torch.from_numpy(data.astronaut()[:64, 200:280].copy()).permute(2, 0, 1).float() / 255
    write_picture(place / "b.png", Picture(photo))
    write_picture(place / "a.png", Picture(photo[:1]))
    return place


def degraded(protocol, folder):
    return {pair.name: pair.degraded for pair in protocol.pairs(folder)}


def test_noise_does_not_depend_on_the_files_name_or_order(folder):
    before = degraded(gaussian_denoising(25.0), folder)
    shutil.move(folder / "b.png", folder / "0.png")
    after = degraded(gaussian_denoising(25.0), folder)
    assert torch.equal(before["b.png"], after["0.png"])
    assert torch.equal(before["a.png"], after["a.png"])


def test_noise_is_that_of_the_first_release():
    """Other bits would make every published score of the protocol another protocol's."""
    drawn = standard_normal((2, 2), entropy=(0, 1)).flatten().tolist()
    bits = np.random.PCG64(np.random.SeedSequence((0, 1))).random_raw(4)
    uniform = [((int(value) >> 11) + 0.5) / 2**53 for value in bits]
    radius = [math.sqrt(-2 * math.log(value)) for value in uniform[:2]]
    angle = [2 * math.pi * value for value in uniform[2:]]
    by_hand = [r * math.cos(a) for r, a in zip(radius, angle, strict=True)]
    by_hand += [r * math.sin(a) for r, a in zip(radius, angle, strict=True)]
    assert drawn == pytest.approx(by_hand)
    assert drawn == pytest.approx(FIRST_RELEASE)


FIRST_RELEASE = [0.15199271887462207, 1.041488335531252, -0.4588604558771689, -0.2918672549913124]


def test_noise_is_white_of_unit_deviation_and_differs_by_image_and_seed():
    levels = torch.zeros(3, 64, 64, dtype=torch.uint8)
    noise = noise_for(levels, seed=0)
    assert abs(noise.mean()) < 0.03
    assert noise.std().item() == pytest.approx(1, abs=0.02)
    assert abs((noise[:, :, 1:] * noise[:, :, :-1]).mean()) < 0.03
    assert not torch.equal(noise, noise_for(levels, seed=1))
    assert not torch.equal(noise, noise_for(levels + 1, seed=0))


def test_noise_is_neither_clamped_nor_rounded_and_scores_what_sigma_says(folder):
    noisy = degraded(gaussian_denoising(50.0), folder)["b.png"]
    assert noisy.min() < 0
    assert noisy.max() > 1
    assert (noisy * 255 - (noisy * 255).round()).abs().max() > 0.3
    gray = torch.full((1, 64, 64), 128 / 255)
    write_picture(folder / "b.png", Picture(gray))
    (folder / "a.png").unlink()
    mean = evaluate(as_given, folder, protocol=gaussian_denoising(10.0, channels=1)).mean()
    assert mean.psnr_y == pytest.approx(20 * math.log10(255 / 10), abs=0.15)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("make", "strength"), [(gaussian_denoising, 25.0), (deblocking, 40)])
def test_gray_and_colour_protocols_give_images_of_their_channels(folder, make, strength, channels):
    for pair in make(strength, channels).pairs(folder):
        assert pair.degraded.shape == pair.target.shape == (1, channels, 64, 80)


def test_jpeg_loses_more_at_lower_quality_and_keeps_what_is_flat(folder):
    scores = [
        evaluate(as_given, folder, protocol=deblocking(quality)).mean().psnr_rgb for quality in (10, 40, 95)
    ]
    assert scores == sorted(scores)
    assert scores[0] < scores[2] - 5
    flat = torch.full((1, 16, 16), 128, dtype=torch.uint8)
    assert torch.equal(through_jpeg(flat, quality=10), flat)


def test_gray_jpeg_of_a_block_is_what_its_quantisation_table_says():
    """A block of 136 is 8 above the middle: its mean coefficient is 64, steps of 16 at quality 50 keep it."""
    block = torch.full((1, 8, 8), 136, dtype=torch.uint8)
    assert torch.equal(through_jpeg(block, quality=50), block)
    odd = torch.full((1, 8, 8), 133, dtype=torch.uint8)
    assert through_jpeg(odd, quality=50).unique().tolist() == [134]


def test_protocols_score_a_perfect_result_as_infinity(folder):
    for protocol in (gaussian_denoising(25.0), deblocking(10)):
        assert isinstance(protocol, EvaluationProtocol)
        targets = {pair.degraded.sum().item(): pair.target for pair in protocol.pairs(folder)}
        report = evaluate(lambda x, t=targets: t[x.sum().item()], folder, protocol=protocol)
        assert report.mean().psnr_rgb == math.inf
        assert report.interval("psnr_rgb") is None


def test_pairs_are_found_by_suffix_and_by_folder(folder, tmp_path):
    clean, noisy = tmp_path / "clean", tmp_path / "both"
    clean.mkdir()
    noisy.mkdir()
    for name in ("a.png", "b.png"):
        shutil.copy(folder / name, clean / name)
        stem = name[0]
        shutil.copy(folder / name, noisy / f"{stem}_real.png")
        shutil.copy(folder / name, noisy / f"{stem}_mean.png")
    assert [pair.name for pair in paired().pairs(noisy)] == ["a_real.png", "b_real.png"]
    assert [pair.name for pair in paired(targets=clean).pairs(folder)] == ["a.png", "b.png"]
    assert evaluate(as_given, noisy, protocol=paired()).mean().psnr_rgb == math.inf


def test_a_pair_that_does_not_fit_is_named(folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(ImageError, match="no image's name ends in '_real'"):
        list(paired().pairs(folder))
    write_picture(other / "a.png", Picture(torch.rand(1, 64, 80)))
    with pytest.raises(ImageError, match=r"b\.png: no target 'b'"):
        list(paired(targets=other).pairs(folder))
    write_picture(other / "b.png", Picture(torch.rand(3, 64, 81)))
    with pytest.raises(ImageError, match=r"b\.png: height and width \(64, 81\) must be \(64, 80\)"):
        list(paired(targets=other).pairs(folder))
    write_picture(other / "b.jpg", Picture(torch.rand(3, 64, 80)))
    with pytest.raises(ImageError, match="same stem"):
        list(paired(targets=other).pairs(folder))


def test_pairs_of_a_larger_scale_lose_a_border(tmp_path):
    for name, side in (("x_real.png", 20), ("x_mean.png", 40)):
        write_picture(tmp_path / name, Picture(torch.full((3, side, side), 0.5)))
    (pair,) = paired(scale=2).pairs(tmp_path)
    wrong_border = pair.target.clone()
    wrong_border[..., :2, :] = 0
    assert score_image(wrong_border, pair.target, border=paired(scale=2).border).psnr_rgb == math.inf


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda: gaussian_denoising(0.0), "sigma 0"),
        (lambda: gaussian_denoising(math.nan), "sigma nan"),
        (lambda: gaussian_denoising(25.0, channels=2), "channels 2"),
        (lambda: deblocking(0), "quality 0"),
        (lambda: deblocking(101), "quality 101"),
        (lambda: paired(scale=0), "scale 0"),
        (lambda: paired(suffixes=("x", "x")), "must differ"),
        (lambda: through_jpeg(torch.zeros(1, 8, 8, dtype=torch.uint8), quality=0), "quality 0"),
    ],
)
def test_settings_out_of_range_are_named(make, rule):
    with pytest.raises(ValueError, match=rule):
        make()


def test_an_image_too_small_to_score_is_named(tmp_path):
    write_picture(tmp_path / "dot.png", Picture(torch.rand(3, 1, 1)))
    for protocol in (gaussian_denoising(25.0), deblocking(10)):
        with pytest.raises(ImageError, match=r"dot\.png: 1 x 1 pixels; at least 11"):
            list(protocol.pairs(tmp_path))


@pytest.mark.parametrize("name", NAMES)
def test_every_protocol_has_a_name_with_its_version_and_a_headline(name):
    scale = 2 if name.endswith("-sr") else 1
    protocol = choose_protocol(name, scale=scale, settings=ProtocolSettings())
    assert protocol.name.startswith(name)
    assert protocol.name.endswith(" v1")
    assert protocol.headline == ("psnr_y" if name.endswith("-sr") else "psnr_rgb")
    assert protocol.border == (2 if name.endswith("-sr") else 0)


@pytest.mark.parametrize(
    ("task", "scale", "channels", "name"),
    [
        ("sr", 4, 3, "classical-sr"),
        ("sr", 4, 1, "luma-sr"),
        ("denoise", 1, 3, "colour-denoise"),
        ("denoise", 1, 1, "gray-denoise"),
        ("jpeg", 1, 1, "gray-jpeg"),
        ("photo", 1, 3, "colour-photo"),
        ("photo", 4, 1, "gray-photo"),
        ("sr", 1, 3, "paired"),
    ],
)
def test_a_models_task_says_its_protocol(task, scale, channels, name):
    assert default_protocol(task, scale=scale, channels=channels) == name
    choose_protocol(name, scale=scale, settings=ProtocolSettings())


def test_given_targets_make_pairs_and_are_not_passed_over(tmp_path):
    assert default_protocol("photo", scale=1, channels=3, targets=True) == "paired"
    for name in NAMES:
        if name != "paired":
            with pytest.raises(ValueError, match="targets are for the protocol paired"):
                choose_protocol(name, scale=2, settings=ProtocolSettings(targets=tmp_path))


def test_a_protocol_refuses_a_scale_that_is_not_its_own():
    with pytest.raises(ValueError, match="scale 2"):
        choose_protocol("colour-denoise", scale=2, settings=ProtocolSettings())
    with pytest.raises(ValueError, match="scale 1"):
        choose_protocol("classical-sr", scale=1, settings=ProtocolSettings())
    with pytest.raises(ValueError, match="'magic' must be one of"):
        choose_protocol("magic", scale=1, settings=ProtocolSettings())


def test_luma_jpeg_takes_the_y_of_the_papers_and_leaves_gray_files_alone(tmp_path: Path):
    colours = np.zeros((24, 24, 3), np.uint8)
    colours[:12], colours[12:] = (255, 255, 255), (10, 200, 30)
    Image.fromarray(colours).save(tmp_path / "a.png")
    settings = ProtocolSettings(quality=90)
    [pair] = choose_protocol("luma-jpeg", scale=1, settings=settings).pairs(tmp_path)
    y = round(16 + (65.481 * 10 + 128.553 * 200 + 24.966 * 30) / 255)
    assert (pair.target * 255).round().int().unique().tolist() == sorted({235, y})
    Image.fromarray(colours[..., 0]).save(tmp_path / "a.png")
    [luma], [gray] = (
        list(choose_protocol(name, scale=1, settings=settings).pairs(tmp_path))
        for name in ("luma-jpeg", "gray-jpeg")
    )
    assert torch.equal(luma.target, gray.target)
    assert torch.equal(luma.degraded, gray.degraded)
    with pytest.raises(ValueError, match=r"quality 0 must be in \[1, 100\]"):
        choose_protocol("luma-jpeg", scale=1, settings=ProtocolSettings(quality=0))
