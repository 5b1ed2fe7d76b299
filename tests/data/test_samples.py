"""Degraded samples: alignment, replay, mixtures, parts, borders."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hfmoe.data import Crop, Mixture, Photo, PhotoSet, Sample, batch, draw_samples, make_sample, read_photos
from hfmoe.data.camera_processing import Softness
from hfmoe.data.degradations import SuperResolutionTask, Task, apply, from_data
from hfmoe.data.degradations.blur import DeblurTask, GaussianBlur
from hfmoe.data.degradations.jpeg import JpegTask
from hfmoe.data.degradations.mosaic import CameraTask
from hfmoe.data.degradations.noise import DenoiseTask
from hfmoe.data.degradations.photo import PhotoTask
from hfmoe.data.degradations.resampling import Cut
from hfmoe.data.fields import fixed
from hfmoe.data.samples import unturned, window

DENOISE = DenoiseTask(sigma=fixed(5.0, 25.0), sensor=0.2, rounded=0.5)
JPEG = JpegTask(quality=fixed(10.0, 60.0))
DEBLUR = DeblurTask(sigma=fixed(0.3, 2.0), length=fixed(2.0, 8.0), radius=fixed(0.5, 2.0))
TASKS: list[Task] = [
    DENOISE,
    JPEG,
    CameraTask(sigma=fixed(2.0, 20.0), quality=fixed(70.0, 98.0)),
    DEBLUR,
    PhotoTask(strength=fixed(0.3)),
    PhotoTask(chain="bsrgan", strength=fixed(0.3)),
]
ALL = Mixture((*TASKS, SuperResolutionTask()), (1.0,) * 7)


def only(task: Task) -> Mixture:
    return Mixture((task,), (1.0,))


def smooth(height: int, width: int, *, scale: int, channels: int = 3) -> PhotoSet:
    """A set of one photo without fine detail, whose every place looks different."""
    y, x = np.mgrid[: height * scale, : width * scale] / scale
    planes = [0.5 + 0.4 * np.sin(x / 9 + k) * np.cos(y / 7 - k) for k in range(channels)]
    target = (np.stack(planes, axis=-1) * 255).round().astype(np.uint8)
    small = target.reshape(height, scale, width, scale, channels).mean(axis=(1, 3)).round().astype(np.uint8)
    return PhotoSet.of([Photo(small, target)], scale=scale)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.kind)
def test_degraded_and_target_show_the_same_place_whatever_the_task_and_turn(task: Task, scale: int):
    photos = smooth(60, 50, scale=scale)
    pair = batch(photos, seed=1, step=2, size=12, patch=16, mixture=only(task))
    assert pair.degraded.shape == (12, 3, 16, 16)
    assert pair.target.shape == (12, 3, 16 * scale, 16 * scale)
    means = torch.nn.functional.avg_pool2d(pair.target, scale)
    errors = (pair.degraded - means).square().mean(dim=(1, 2, 3)).sqrt()
    shifted = (pair.degraded - means.roll((3, 3), dims=(2, 3))).square().mean(dim=(1, 2, 3)).sqrt()
    assert errors.median() < 0.08
    assert (errors < shifted).float().mean() > 0.9
    for side in pair.images().values():
        assert side.is_contiguous(memory_format=torch.channels_last)
        assert side.isfinite().all()


def test_the_operations_of_a_sample_applied_to_its_source_give_the_same_bits():
    photos = smooth(60, 50, scale=2)
    for step in range(4):
        for sample in draw_samples(photos, ALL, seed=5, step=step, size=6, patch=16):
            made = make_sample(photos, sample, patch=16)
            again = from_data(sample.as_data()["operations"])
            assert torch.equal(apply(made.source, again), made.degraded)


def test_a_batch_is_its_samples_and_depends_on_seed_and_step_alone():
    photos = smooth(60, 50, scale=2)
    pair = batch(photos, seed=3, step=9, size=6, patch=16, mixture=ALL)
    made = [
        make_sample(photos, s, patch=16) for s in draw_samples(photos, ALL, seed=3, step=9, size=6, patch=16)
    ]
    assert torch.equal(pair.degraded, torch.stack([each.degraded for each in made]))
    assert torch.equal(pair.degraded, batch(photos, seed=3, step=9, size=6, patch=16, mixture=ALL).degraded)
    for seed, step in ((3, 10), (4, 9)):
        other = batch(photos, seed=seed, step=step, size=6, patch=16, mixture=ALL)
        assert not torch.equal(pair.degraded, other.degraded)


def test_many_processes_share_the_samples_of_one():
    photos = smooth(60, 50, scale=1)
    whole = batch(photos, seed=5, step=6, size=6, patch=16, mixture=ALL).degraded
    parts = [
        batch(photos, seed=5, step=6, size=6, patch=16, mixture=ALL, part=part, parts=2).degraded
        for part in (0, 1)
    ]
    assert torch.equal(whole, torch.stack(parts, dim=1).flatten(0, 1))


def test_a_mixture_of_classical_super_resolution_alone_gives_the_batches_of_no_mixture(folder: Path):
    photos = read_photos([folder], scale=2)
    plain = batch(photos, seed=7, step=3, size=8, patch=16)
    mixed = batch(photos, seed=7, step=3, size=8, patch=16, mixture=only(SuperResolutionTask()))
    assert all(torch.equal(one, other) for one, other in zip(plain[:2], mixed[:2], strict=True))


def test_tasks_change_no_crop():
    photos = smooth(60, 50, scale=2)
    plain = batch(photos, seed=7, step=3, size=8, patch=16)
    mixed = batch(photos, seed=7, step=3, size=8, patch=16, mixture=ALL)
    assert torch.equal(plain.target, mixed.target)


def test_samples_fall_to_tasks_by_their_weights():
    photos = smooth(60, 50, scale=1)
    mixture = Mixture((DENOISE, JPEG, DEBLUR), (6.0, 3.0, 1.0))
    drawn = [
        s.task
        for step in range(40)
        for s in draw_samples(photos, mixture, seed=0, step=step, size=50, patch=8)
    ]
    shares = {task: count / len(drawn) for task, count in Counter(drawn).items()}
    assert shares == pytest.approx({"denoise": 0.6, "jpeg": 0.3, "deblur": 0.1}, abs=0.04)


def test_blocks_of_jpeg_begin_at_every_place_of_a_crop():
    photos = smooth(60, 50, scale=1)
    cuts = [
        operation
        for sample in draw_samples(photos, only(JPEG), seed=0, step=0, size=200, patch=8)
        for operation in sample.operations
        if isinstance(operation, Cut)
    ]
    assert {(cut.top % 8, cut.left % 8) for cut in cuts} >= {(i, i) for i in range(8)}


@pytest.mark.parametrize("turn", range(8))
def test_margins_lie_where_the_turned_window_has_them(turn: int):
    rows, columns = np.mgrid[:40, :40].astype(np.uint8)
    image = np.stack([rows, columns, rows], axis=-1)
    photos = PhotoSet.of([Photo(image, image)], scale=1)
    bare = Sample(Crop(0, 15, 12, turn), "jpeg", False, (0, 0, 0, 0), ())
    wide = bare._replace(margin=(1, 2, 3, 4))
    inner = window(photos, wide, side=0, factor=1, patch=8)[1:-3, 2:-4]
    assert np.array_equal(inner, window(photos, bare, side=0, factor=1, patch=8))
    assert sum(unturned((1, 2, 3, 4), turn)) == 10


def test_a_window_that_leaves_its_photo_is_mirrored():
    image = np.arange(36, dtype=np.uint8).reshape(6, 6, 1)
    photos = PhotoSet.of([Photo(image, image)], scale=1)
    sample = Sample(Crop(0, 0, 0, 0), "jpeg", False, (8, 8, 8, 8), ())
    cut = window(photos, sample, side=0, factor=1, patch=6)
    assert np.array_equal(cut, np.pad(image, ((8, 8), (8, 8), (0, 0)), mode="symmetric"))


@pytest.mark.parametrize("scale", [1, 4])
def test_gray_photos_go_through_every_task(scale: int):
    photos = smooth(40, 40, scale=scale, channels=1)
    for step in range(3):
        pair = batch(photos, seed=0, step=step, size=8, patch=16, mixture=ALL)
        assert pair.degraded.shape == (8, 1, 16, 16)
        assert pair.degraded.isfinite().all()


def test_photos_with_a_degraded_side_of_their_own_keep_it():
    clean = smooth(40, 40, scale=1)
    degraded = np.zeros_like(clean.photos[0].target)
    photos = PhotoSet(
        (Photo(degraded, clean.photos[0].target), clean.photos[0]),
        1,
        np.array([[40, 40], [40, 40]]),
        given=(True, False),
        names=("pair", "clean"),
    )
    for sample in draw_samples(photos, only(DENOISE), seed=0, step=0, size=30, patch=16):
        made = make_sample(photos, sample, patch=16)
        assert (sample.task == "given") == (sample.crop.photo == 0) == bool((made.degraded == 0).all())


@pytest.mark.parametrize("scale", [1, 2, 3])
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.kind)
def test_a_soft_photo_is_a_blurred_one_source_and_target_alike(task: Task, scale: int):
    generator = np.random.default_rng(0)
    small, target = (generator.integers(0, 256, (60 * by, 50 * by, 3), dtype=np.uint8) for by in (1, scale))
    photos = PhotoSet.of([Photo(small, target)], scale=scale)
    blur = GaussianBlur(7, sigma=(1.0, 1.0))
    blurred = blur(torch.from_numpy(target).permute(2, 0, 1).float() / 255)
    mixture = replace(only(task), softness=Softness(share=1.0, sigma=(1.0, 1.0)))
    for sample in draw_samples(photos, mixture, seed=1, step=2, size=8, patch=16):
        crop = sample.crop._replace(turn=0)
        upright = sample._replace(crop=crop)
        made = make_sample(photos, upright, patch=16)
        rows, columns = (slice(at * scale, (at + 16) * scale) for at in (crop.top, crop.left))
        assert torch.allclose(made.target, blurred[:, rows, columns], atol=1e-5)
        sharp = make_sample(photos, upright._replace(softness=0.0), patch=16)
        assert made.source.shape == sharp.source.shape
        assert made.source.std() < sharp.source.std()


def test_a_share_of_photos_is_soft_and_the_others_are_as_without_it():
    photos = smooth(60, 50, scale=1)
    mixture = replace(ALL, softness=Softness(share=0.5, sigma=(0.3, 1.0)))
    draws = {"photos": photos, "seed": 1, "step": 2, "size": 64, "patch": 16}
    soft, plain = draw_samples(mixture=mixture, **draws), draw_samples(mixture=ALL, **draws)
    assert [each._replace(softness=0.0) for each in soft] == plain
    drawn = [each.softness for each in soft if each.softness]
    assert 20 < len(drawn) < 44
    assert all(0.3 <= sigma <= 1.0 for sigma in drawn)
    assert all(("softness" in each.as_data()) == bool(each.softness) for each in soft)
