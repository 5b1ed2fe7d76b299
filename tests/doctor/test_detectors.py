"""Each detector on photos that scikit-image ships: it catches the damaged and passes the clean."""

import io

import numpy as np
import pytest
from PIL import Image
from skimage import data as pictures

from hfmoe.doctor.artefacts import (
    TABLE,
    estimate_noise,
    find_quantisation,
    find_rhythm,
    quality_of,
    scales_of,
)
from hfmoe.doctor.duplicates import groups, near_pairs, small_copy, stack
from hfmoe.doctor.findings import LEAST_LIKENESS, LEAST_RHYTHM, MOST_NOISE
from hfmoe.doctor.images import luma_of, middle
from hfmoe.doctor.pairs import align, find_shift

KERNELS = [Image.Resampling.NEAREST, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC]


@pytest.fixture(scope="module")
def photos() -> list[Image.Image]:
    """Photos made small, so that nothing of their own history is left."""
    shipped = [pictures.astronaut(), pictures.coffee(), pictures.chelsea(), pictures.rocket()]
    halves = [Image.fromarray(image) for image in shipped]
    return [photo.resize((photo.width // 2, photo.height // 2), Image.Resampling.BOX) for photo in halves]


def luma(photo: Image.Image) -> np.ndarray:
    return luma_of(middle(np.asarray(photo), 512))


def enlarge(photo: Image.Image, scale: float, kernel: Image.Resampling) -> Image.Image:
    return photo.resize((round(photo.width * scale), round(photo.height * scale)), kernel)


def jpeg(photo: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


@pytest.mark.parametrize("scale", [1.5, 2, 3])
@pytest.mark.parametrize("kernel", KERNELS)
def test_an_enlarged_photo_has_the_rhythm_of_its_scale(
    photos: list[Image.Image], kernel: Image.Resampling, scale: float
):
    found = [find_rhythm(luma(enlarge(photo, scale, kernel))) for photo in photos]
    caught = [rhythm for rhythm in found if rhythm.strength > LEAST_RHYTHM]
    assert len(caught) >= len(found) - 1
    assert all(any(abs(known - scale) < 0.05 for known in scales_of(rhythm)) for rhythm in caught)


def test_clean_smooth_and_compressed_photos_have_no_rhythm(photos: list[Image.Image]):
    blurred = [Image.fromarray(_blurred(np.asarray(photo))) for photo in photos]
    for photo in [*photos, *blurred]:
        assert find_rhythm(luma(photo)).strength <= LEAST_RHYTHM
    for photo in photos:
        assert find_rhythm(luma(jpeg(photo, 40))).strength <= 2 * LEAST_RHYTHM


def _blurred(image: np.ndarray) -> np.ndarray:
    spectrum = np.fft.fft2(image.astype(np.float64), axes=(0, 1))
    rows, columns = (np.fft.fftfreq(side) for side in image.shape[:2])
    soft = np.exp(-20 * (rows[:, None] ** 2 + columns[None] ** 2))[..., None]
    return np.clip(np.real(np.fft.ifft2(spectrum * soft, axes=(0, 1))), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("quality", [10, 30, 50, 80])
@pytest.mark.parametrize("corner", [(0, 0), (3, 5)])
def test_the_quality_of_a_decoded_jpeg_is_told_from_its_pixels(
    photos: list[Image.Image], quality: int, corner: tuple[int, int]
):
    for photo in photos:
        stored = jpeg(enlarge(photo, 1.3, Image.Resampling.BICUBIC), quality)
        found = find_quantisation(luma(stored.crop((*corner, stored.width, stored.height))))
        assert found is not None and abs(found.quality - quality) <= 3
        left, top = corner
        assert found.offset == (-top % 8, -left % 8)


def test_photos_that_were_no_jpeg_or_a_very_good_one_show_no_quantisation(photos: list[Image.Image]):
    for photo in photos:
        for version in (photo, enlarge(photo, 2, Image.Resampling.BICUBIC), jpeg(photo, 97)):
            assert find_quantisation(luma(version)) is None


def test_the_quality_of_a_table_is_the_one_it_was_made_with():
    assert quality_of(TABLE) == 50
    assert quality_of(np.ones((8, 8), dtype=np.int64)) >= 98
    assert abs(quality_of((TABLE * 5).clip(1, 255)) - 10) <= 1


def test_noise_is_measured_and_calm_photos_have_little(photos: list[Image.Image]):
    generator = np.random.default_rng(0)
    for photo in photos:
        gray = luma(photo).clip(40, 215)
        assert estimate_noise(gray) < MOST_NOISE
        noisy = gray + generator.normal(0, 12, gray.shape).astype(np.float32)
        assert estimate_noise(noisy) == pytest.approx(12, rel=0.3)


def small(photo: Image.Image) -> np.ndarray:
    return small_copy(luma_of(np.asarray(photo)))


@pytest.mark.parametrize("turn", list(Image.Transpose))
def test_a_photo_is_found_again_in_every_turn_stored_anew_and_cropped(
    photos: list[Image.Image], turn: Image.Transpose
):
    again = []
    for photo in photos:
        edge = photo.width // 100
        part = photo.crop((edge, edge, photo.width - edge, photo.height - edge))
        again.append(jpeg(part.transpose(turn), 60))
    pairs = near_pairs(stack([*map(small, photos), *map(small, again)]))
    assert pairs == [(index, index + len(photos)) for index in range(len(photos))]


def test_plain_pictures_are_like_none():
    plain = np.full((50, 32, 32), 128, dtype=np.uint8)
    assert near_pairs(plain) == [] and near_pairs(plain[:0]) == []


def test_many_random_copies_are_compared_in_buckets_and_only_twins_are_found():
    generator = np.random.default_rng(0)
    coarse = generator.uniform(0, 255, (3000, 8, 8)).astype(np.uint8)
    copies = coarse.repeat(4, axis=1).repeat(4, axis=2)
    copies[2999] = copies[17, ::-1]
    assert near_pairs(copies) == [(17, 2999)]
    assert near_pairs(copies[:20], copies[100:]) == [(17, 2899)]


def test_groups_join_chains():
    assert groups([(0, 4), (4, 7), (2, 3)]) == [[0, 4, 7], [2, 3]]


def test_small_copies_are_means_over_areas_for_any_size():
    image = np.random.default_rng(0).uniform(0, 255, (64, 96)).astype(np.float32)
    wanted = image.reshape(32, 2, 32, 3).mean(axis=(1, 3))
    assert np.abs(small_copy(image) - wanted).max() <= 0.51
    assert (small_copy(np.full((1, 1), 77.0, dtype=np.float32)) == 77).all()


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("move", [0, 1, 3])
def test_a_shift_of_target_pixels_is_measured_to_a_fifth_of_one(
    photos: list[Image.Image], scale: int, move: int
):
    for photo in [enlarge(photo, 2, Image.Resampling.BICUBIC) for photo in photos]:
        width, height = ((side - 8) // scale * scale for side in photo.size)
        target = photo.crop((0, 0, width, height))
        moved = photo.crop((move, 0, width + move, height))
        degraded = moved.resize((width // scale, height // scale), Image.Resampling.BICUBIC)
        fit = align(np.asarray(degraded), np.asarray(target), scale=scale)
        assert fit.dx * scale == pytest.approx(-move, abs=0.2) and fit.dy == pytest.approx(0, abs=0.06)


def test_brightness_and_another_photo_are_told(photos: list[Image.Image]):
    first, second = (np.asarray(photo.resize((200, 200))) for photo in photos[:2])
    darker = (first * 0.8).astype(np.uint8)
    assert align(darker, first, scale=1).brightness > 10
    assert align(first, first, scale=1).brightness == 0
    assert align(first, second, scale=1).likeness < LEAST_LIKENESS < align(darker, first, scale=1).likeness


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (7, 9), (33, 31)])
def test_tiny_and_plain_images_measure_as_nothing(shape: tuple[int, int]):
    for gray in (np.zeros(shape, dtype=np.float32), np.random.default_rng(0).uniform(0, 255, shape)):
        gray = gray.astype(np.float32)
        assert find_rhythm(gray).strength <= LEAST_RHYTHM
        assert find_quantisation(gray) is None
        assert np.isfinite(estimate_noise(gray))
        assert find_shift(gray, gray) == (0.0, 0.0)
