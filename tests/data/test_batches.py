"""Batches of crops."""

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from hfmoe.data import Crop, DataError, Photo, PhotoSet, batch, draw, gather, prefetch, read_photos


def numbered(*sizes: tuple[int, int], scale: int = 2) -> PhotoSet:
    """Photos whose degraded pixels hold (photo, row, column), and whose target repeats each in a block."""
    photos = []
    for index, (height, width) in enumerate(sizes):
        rows, columns = np.mgrid[:height, :width].astype(np.uint8)
        degraded = np.stack([np.full_like(rows, index), rows, columns], axis=-1)
        photos.append(Photo(degraded, degraded.repeat(scale, 0).repeat(scale, 1)))
    return PhotoSet.of(photos, scale=scale)


def test_a_batch_is_a_pure_function_of_seed_and_step_and_differs_between_steps_and_seeds(folder: Path):
    photos = read_photos([folder], scale=2)

    def degraded(seed: int, step: int) -> torch.Tensor:
        return batch(photos, seed=seed, step=step, size=4, patch=16).degraded

    first = degraded(1, 7)
    degraded(1, 8)
    assert torch.equal(first, degraded(1, 7))
    assert not torch.equal(first, degraded(1, 8))
    assert not torch.equal(first, degraded(2, 7))


def test_batches_without_tasks_stay_those_that_shipped_weights_were_trained_on():
    random = np.random.default_rng(0)

    def pixels(height: int, width: int) -> np.ndarray:
        return random.integers(256, size=(height, width, 3), dtype=np.uint8)

    sizes = ((40, 30), (25, 50))
    photos = PhotoSet.of([Photo(pixels(h, w), pixels(2 * h, 2 * w)) for h, w in sizes], scale=2)
    digest = hashlib.sha256()
    for step in (0, 1, 12345):
        for side in batch(photos, seed=3, step=step, size=16, patch=16).images().values():
            digest.update(np.ascontiguousarray(side.numpy()).tobytes())
    assert digest.hexdigest()[:32] == "690c74c07f0ddf14663f6a5bd44328f3"


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_crops_of_degraded_and_target_are_aligned_under_every_flip_and_turn(scale: int):
    photos = numbered((20, 30), (25, 18), scale=scale)
    crops = [Crop(photo=turn % 2, top=3, left=5, turn=turn) for turn in range(8)]
    degraded, target, _ = gather(photos, crops, patch=8)
    assert np.array_equal(target, degraded.repeat(scale, 1).repeat(scale, 2))


def test_the_eight_turns_are_eight_different_pictures_of_the_same_pixels():
    degraded, *_ = gather(numbered((20, 20)), [Crop(0, 2, 4, turn) for turn in range(8)], patch=6)
    assert len({picture.tobytes() for picture in degraded}) == 8
    assert len({tuple(sorted(map(tuple, picture.reshape(-1, 3).tolist()))) for picture in degraded}) == 1


def test_degraded_crops_are_what_shrinking_the_target_crops_gives_away_from_the_border(folder: Path):
    from fractions import Fraction

    from hfmoe.image.resize import resize

    degraded, target, *_ = batch(read_photos([folder], scale=2), seed=0, step=0, size=8, patch=24)
    shrunk = resize(target, scale=Fraction(1, 2), round_to_uint8=True)
    inner = (..., slice(3, -3), slice(3, -3))
    # rounding happens between the two passes, so a turned crop may differ by one gray level or two
    assert (shrunk[inner] - degraded[inner]).abs().max() < 2.5 / 255


def test_every_crop_position_of_the_set_is_equally_likely():
    photos = numbered((9, 8), (8, 10), (4, 4))
    crops = [crop for step in range(200) for crop in draw(photos, seed=3, step=step, size=16, patch=8)]
    places = Counter((crop.photo, crop.top, crop.left) for crop in crops)
    assert set(places) == {(0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 0, 1), (1, 0, 2)}
    assert all(count == pytest.approx(3200 / 5, rel=0.15) for count in places.values())
    assert all(
        count == pytest.approx(400, rel=0.2) for count in Counter(crop.turn for crop in crops).values()
    )


def test_batches_lie_in_the_unit_range_and_in_channels_last_memory(folder: Path):
    pair = batch(read_photos([folder], scale=2), seed=0, step=0, size=3, patch=16)
    assert pair.degraded.shape == (3, 3, 16, 16)
    assert pair.target.shape == (3, 3, 32, 32)
    for side in pair.images().values():
        assert side.min() >= 0
        assert side.max() <= 1
        assert side.is_contiguous(memory_format=torch.channels_last)


def test_many_processes_share_the_batch_of_one():
    photos = numbered((40, 40))
    whole = batch(photos, seed=5, step=6, size=6, patch=8).degraded
    parts = [batch(photos, seed=5, step=6, size=6, patch=8, part=part, parts=2).degraded for part in (0, 1)]
    assert torch.equal(whole, torch.stack(parts, dim=1).flatten(0, 1))


def test_a_patch_that_fits_no_photo_is_refused_with_its_size():
    with pytest.raises(DataError, match="64 x 64"):
        draw(numbered((20, 20)), seed=0, step=0, size=1, patch=64)


def test_prefetching_changes_neither_items_nor_their_order():
    assert list(prefetch(lambda step: step * step, range(3, 9))) == [9, 16, 25, 36, 49, 64]
    assert list(prefetch(lambda step: step, range(0))) == []


def test_an_error_while_prefetching_reaches_the_reader():
    def make(step: int) -> int:
        if step == 2:
            raise DataError("no such step")
        return step

    items = prefetch(make, range(5))
    assert [next(items), next(items)] == [0, 1]
    with pytest.raises(DataError):
        next(items)
