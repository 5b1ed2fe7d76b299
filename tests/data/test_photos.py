"""Reading folders of photos."""

import threading
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from einops import rearrange

from hfmoe.data import DataError, PhotoSet, read_photos
from hfmoe.image.files import ImageError, read_rgb8
from hfmoe.image.resize import resize


def same(one: PhotoSet, other: PhotoSet) -> bool:
    sides = zip(one.photos, other.photos, strict=True)
    return all(np.array_equal(a, b) for pair in sides for a, b in zip(pair[0][:2], pair[1][:2], strict=True))


def test_degraded_is_the_target_shrunk_as_the_papers_shrink(folder: Path):
    photos = read_photos([folder], scale=3)
    original = read_rgb8(folder / "1.png")[:, :96, :63]
    expected = resize(original.float() / 255, scale=Fraction(1, 3), round_to_uint8=True)
    degraded, target, _ = photos.photos[1]
    assert np.array_equal(target, rearrange(original, "c h w -> h w c").numpy())
    assert np.allclose(degraded / 255, rearrange(expected, "c h w -> h w c").numpy(), atol=1e-6)


def test_at_scale_one_degraded_and_target_are_the_same_pixels(folder: Path):
    assert all(
        np.array_equal(photo.degraded, photo.target) for photo in read_photos([folder], scale=1).photos
    )


def test_the_mapped_cache_gives_the_same_photos_as_ram_the_first_time_and_later(folder: Path, tmp_path: Path):
    cache = tmp_path / "cache"
    in_ram = read_photos([folder], scale=2)
    assert same(in_ram, read_photos([folder], scale=2, cache=cache))
    assert same(in_ram, read_photos([folder], scale=2, cache=cache))
    assert len(list(cache.iterdir())) == 2


def test_a_changed_photo_is_read_again_despite_the_cache(folder: Path, tmp_path: Path):
    cache = tmp_path / "cache"
    read_photos([folder], scale=2, cache=cache)
    (folder / "0.png").write_bytes((folder / "2.png").read_bytes())
    assert same(read_photos([folder], scale=2), read_photos([folder], scale=2, cache=cache))


def test_a_cut_off_cache_is_made_again(folder: Path, tmp_path: Path):
    cache = tmp_path / "cache"
    read_photos([folder], scale=2, cache=cache)
    pixels = next(cache.glob("*.u8"))
    pixels.write_bytes(pixels.read_bytes()[:1000])
    assert same(read_photos([folder], scale=2), read_photos([folder], scale=2, cache=cache))


def test_photos_of_several_folders_come_together_and_gray_has_one_channel(folder: Path):
    photos = read_photos([folder, folder], scale=2, channels=1)
    assert len(photos.photos) == 6
    assert {photo.target.shape[-1] for photo in photos.photos} == {1}


def test_a_broken_photo_is_named(folder: Path):
    (folder / "broken.png").write_bytes((folder / "0.png").read_bytes()[:300])
    with pytest.raises(ImageError, match=r"broken\.png"):
        read_photos([folder], scale=2)


def test_a_missing_or_empty_folder_is_named(tmp_path: Path):
    with pytest.raises(ImageError, match="nowhere"):
        read_photos([tmp_path / "nowhere"], scale=2)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty"):
        read_photos([tmp_path / "empty"], scale=2)


def test_photos_without_room_for_the_patch_are_counted(folder: Path):
    photos = read_photos([folder], scale=2)
    assert [photos.smaller_than(patch) for patch in (32, 33, 41, 100)] == [0, 2, 3, 3]


@pytest.mark.parametrize("cached", [False, True])
def test_a_few_broken_photos_are_named_and_left_out_and_more_of_them_refuse(
    folder: Path, tmp_path: Path, cached: bool
):
    whole = read_photos([folder], scale=2)
    (folder / "0b.png").write_bytes((folder / "0.png").read_bytes()[:300])
    cache = tmp_path / "cache" if cached else None
    for _ in range(2):
        photos = read_photos([folder], scale=2, cache=cache, unreadable=0.3)
        assert same(photos, whole)
        assert (photos.identity, photos.names) == (whole.identity, whole.names)
        assert len(photos.unreadable) == 1
        assert "0b.png" in photos.unreadable[0]
    (folder / "0c.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"0b\.png.*0c\.png.*faults\.unreadable 0\.3.*doctor"):
        read_photos([folder], scale=2, cache=cache, unreadable=0.3)


def test_reading_that_fails_leaves_no_thread_behind(tmp_path: Path):
    for number in range(40):
        (tmp_path / f"{number:02d}.png").write_bytes(b"no image")
    before = set(threading.enumerate())
    with pytest.raises(ImageError) as caught:
        read_photos([tmp_path], scale=2, unreadable=0.0, threads=2)
    assert set(threading.enumerate()) == before
    assert caught.value.__traceback__ is not None
